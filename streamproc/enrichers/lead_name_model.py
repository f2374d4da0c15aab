"""probablepeople's model (a chain of labels, by python-crfsuite), without asking it for each name.

How well a word goes with each label is summed up once per word, by itself and for its neighbours;
then the best labels of a name are found in a third of the time. The model writes its weights
with six digits: where two readings are closer than these tell, it is asked itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from operator import add
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, Self

from streamproc.types import Foreign

_WORDS = 6144  # remembered: 15 MB
_LONGEST_WORD = 40
_MOST_WORDS = 16  # in a name; there are 136 ways in which a comma may stand in so many
# What a reading must be better by, per word: twice what six digits leave open for each of the
# about 120 things that are said of a word, by itself and for both of its neighbours.
_CLEARLY = 0.0005

_PLACES = {"": 0, "previous:": 1, "next:": 2}
_WEIGHT = re.compile(r"^  \((\d)\) (previous:|next:|)(.+) --> (.+): (-?\d+\.\d+)$", re.MULTILINE)
_OF_A_WORD, _FROM_A_LABEL = "0", "1"

Scores = Sequence[float]  # one for each label
Weights = dict[str, list[tuple[int, float]]]  # of what is said of a word; by place, by label


class _Word(NamedTuple):
    """What a word tells of its own label, of the label after it and of the one before it."""

    own: Scores
    as_previous: Scores
    as_next: Scores


class NameModel:
    """Tells what each word of a name is."""

    def __init__(self, labels: list[str], weights: Weights, follows: list[list[float]]) -> None:
        from probablepeople import tokenFeatures

        self._features = tokenFeatures
        self._labels, self._weights, self._follows = labels, weights, follows
        self._each = range(len(labels))
        # how much worse than another a label may be and still be on the best way to a next one
        self._behind = [
            [min(a - b for a, b in zip(best, other, strict=True)) for other in follows]
            for best in follows
        ]
        self._word = lru_cache(_WORDS)(self._look_at)
        self._context = cache(self._positions)
        self._nothing = _Word(*[(0.0,) * len(labels)] * 3)

    @classmethod
    def of(cls, tagger: Foreign) -> Self | None:
        """That of a tagger; None if it does not tell its weights."""
        labels = list(tagger.labels())
        at = {label: i for i, label in enumerate(labels)}
        weights: Weights = {}
        follows = [[0.0] * len(labels) for _ in labels]
        try:
            written = _written(tagger)
        except OSError:  # no place for temporary files
            return None
        for kind, place, source, label, weight in _WEIGHT.findall(written):
            if kind == _OF_A_WORD:
                of_place = _PLACES[place] * len(labels) + at[label]
                weights.setdefault(source, []).append((of_place, float(weight)))
            elif kind == _FROM_A_LABEL:
                follows[at[source]][at[label]] = float(weight)
        is_whole = written.rstrip().endswith("}")  # else the disk is full
        return cls(labels, weights, follows) if weights and is_whole else None

    def read(self, words: list[str]) -> list[str] | None:
        """Of each word, what it is; None if that is a close call, or no usual name."""
        if len(words) > _MOST_WORDS or max(map(len, words)) > _LONGEST_WORD:
            return None
        clearly = _CLEARLY * len(words)
        positions = self._context(len(words), _comma(words))
        told = self._in_context([self._word(each) for each in words], positions)
        ways = []
        best = told[0]
        for scores in told[1:]:
            top = max(best)
            first, limit = best.index(top), top - clearly
            behind = self._behind[first]
            way = [i for i, a, b in zip(self._each, best, behind, strict=True) if a >= limit + b]
            ways.append((way, best))
            reached = [top + more for more in self._follows[first]]
            for i in way:
                if i != first:
                    score = best[i]
                    reached = [
                        x if x > (y := score + more) else y
                        for x, more in zip(reached, self._follows[i], strict=True)
                    ]
            best = list(map(add, scores, reached))
        return self._back(best, ways, clearly)

    def _in_context(self, words: list[_Word], more: Sequence[Scores]) -> list[list[float]]:
        """For each word, how well it goes with each label where it stands, and `more`."""
        around = (self._nothing, *words, self._nothing)
        return [
            [a + b + c + d for a, b, c, d in zip(p.as_previous, w.own, n.as_next, m, strict=True)]
            for p, w, n, m in zip(around, words, around[2:], more, strict=False)
        ]

    def _back(
        self, best: list[float], ways: list[tuple[list[int], list[float]]], clearly: float
    ) -> list[str] | None:
        """The labels of the best way, if all others are clearly worse."""
        *_, second, top = sorted(best)
        if top - second < clearly:
            return None
        label = best.index(top)
        found = [self._labels[label]]
        for way, before in reversed(ways):
            if len(way) > 1:
                scores = [before[i] + self._follows[i][label] for i in way]
                *_, second, top = sorted(scores)
                if top - second < clearly:
                    return None
                label = way[scores.index(top)]
            else:
                [label] = way
            found.append(self._labels[label])
        found.reverse()
        return found

    def _look_at(self, word: str) -> _Word:
        return self._weighed(self._features(word))

    def _positions(self, words: int, comma: int | None) -> list[list[float]]:
        """What is said of each word of so many because of where it stands."""
        said: list[dict[str, bool]] = [{} for _ in range(words)]
        if words == 1:
            said[0]["singleton"] = True
        else:
            said[0]["rawstring.start"] = said[-1]["rawstring.end"] = True
        for each in said[words if comma is None else comma + 1 :]:
            each["seen.comma"] = True
        return self._in_context([self._weighed(each) for each in said], [self._nothing.own] * words)

    def _weighed(self, said: Mapping[str, str | float]) -> _Word:
        count = len(self._labels)
        scores = [0.0] * (count * len(_PLACES))
        for key, value in said.items():
            name, times = (f"{key}:{value}", 1.0) if isinstance(value, str) else (key, value)
            if times:
                for at, weight in self._weights.get(name, ()):
                    scores[at] += weight * times
        return _Word(*(tuple(scores[i : i + count]) for i in range(0, len(scores), count)))


def _comma(words: list[str]) -> int | None:
    """Where the first one ends with a comma."""
    for i, word in enumerate(words):
        if word.endswith(","):
            return i
    return None


def _written(tagger: Foreign) -> str:
    with TemporaryDirectory() as folder:
        file = Path(folder, "weights.txt")
        tagger.dump(str(file))
        return file.read_text("utf-8")
