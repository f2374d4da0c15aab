"""A name, told apart by probablepeople's model, several times as fast as by its own `tag`.

What the model looks at in a word is remembered per word, without what it has no weight for: that
is half of the work for each name. The answers are those of `probablepeople.tag`.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import NamedTuple

_WORDS = 8192  # remembered: 16 MB
_LONGEST_WORD = 40
_ENOUGH = 1000  # words: from then on it pays to ask the model what it knows, which takes 0.1 s
# a part that comes again after one of these words belongs to another person
_AGAIN = {"And": "Second", "AKA": "Other", "ProxyFor": "Proxied"}
_MAY_INTERRUPT = {
    f"{whose}CorporationName{part}"
    for whose in ("", "Proxied", "Other")
    for part in ("Organization", "BranchType", "BranchIdentifier")
}

_PLACES = ("", "previous:", "next:")
Weights = dict[bytes, float]  # text would be encoded each time


class _Word(NamedTuple):
    """What the model is told of a word, where it stands and for its neighbours."""

    own: Weights
    as_previous: Weights
    as_next: Weights
    ends_with_comma: bool


class _Model:
    """probablepeople's, with its words."""

    def __init__(self) -> None:
        from probablepeople import TAGGERS, tokenFeatures, tokenize
        from pycrfsuite import ItemSequence

        self._features, self.tokenize, self._items = tokenFeatures, tokenize, ItemSequence
        self._tagger = TAGGERS["generic"]
        # by place, what it knows of a word that stands there; None: not asked yet
        self._known: list[dict[str, bytes]] | None = None
        self._seen = 0
        self._word = lru_cache(_WORDS)(self._look_at)

    def labels(self, words: list[str]) -> list[str]:
        """Of each word, what it is."""
        found = [
            self._word(each) if len(each) <= _LONGEST_WORD else self._look_at(each)
            for each in words
        ]
        return list(self._tagger.tag(_in_context(found)))

    def _look_at(self, word: str) -> _Word:
        self._seen += 1
        if self._seen == _ENOUGH:
            names = self._tagger.info().attributes
            self._known = [
                {each.removeprefix(at): each.encode() for each in names if each.startswith(at)}
                for at in _PLACES
            ]
        features = self._features(word)
        [given] = self._items([features]).items()
        given = {name: weight for name, weight in given.items() if weight}
        if self._known is None:
            told = [{f"{place}{k}".encode(): w for k, w in given.items()} for place in _PLACES]
        else:
            told = [{names[k]: w for k, w in given.items() if k in names} for names in self._known]
        return _Word(told[0], told[1], told[2], features["comma"])


def _in_context(words: list[_Word]) -> list[Weights]:
    """What the model is told of each word in its place."""
    told = [word.own.copy() for word in words]
    for i, word in enumerate(words[:-1]):
        told[i].update(words[i + 1].as_next)
        told[i + 1].update(word.as_previous)
    if len(words) == 1:
        told[0][b"singleton"] = 1.0
    else:
        told[0][b"rawstring.start"] = told[1][b"previous:rawstring.start"] = 1.0
        told[-1][b"rawstring.end"] = told[-2][b"next:rawstring.end"] = 1.0
    comma = next((i for i, word in enumerate(words) if word.ends_with_comma), len(words))
    for i in range(comma + 1, len(words)):
        told[i][b"seen.comma"] = told[i - 1][b"next:seen.comma"] = 1.0
        if i + 1 < len(words):
            told[i + 1][b"previous:seen.comma"] = 1.0
    return told


_model = cache(_Model)


def prepare() -> None:
    """Load the model."""
    _model()


def person(full: str) -> dict[str, str]:
    """The parts of a person's name by probablepeople's labels; none if it is not clearly one."""
    model = _model()
    words = model.tokenize(full)
    if not words:
        return {}
    parts: dict[str, list[str]] = {}
    switch = before = ""
    for word, found in zip(words, model.labels(words), strict=True):
        label = found
        if label in _AGAIN:
            switch = min(switch or label, label, key=list(_AGAIN).index)
        elif switch and label in parts:
            label = _AGAIN[switch] + label
        may_repeat = {label, before} & _MAY_INTERRUPT or label == before
        if label in parts and not may_repeat:
            return {}  # the same part in two places
        parts.setdefault(label, []).append(word)
        before = label
    if "And" in parts or parts.keys() & {"CorporationName", "ShortForm"}:
        return {}
    return {label: " ".join(some).strip(" ,;") for label, some in parts.items()}
