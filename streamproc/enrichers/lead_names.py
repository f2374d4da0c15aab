"""A name, told apart by probablepeople's model, several times as fast as by its own `tag`.

The answers are those of `probablepeople.tag`.
"""

from __future__ import annotations

from functools import cache

from streamproc.enrichers.lead_name_model import NameModel

# a part that comes again after one of these words belongs to another person
_AGAIN = {"And": "Second", "AKA": "Other", "ProxyFor": "Proxied"}
_MAY_INTERRUPT = {
    f"{whose}CorporationName{part}"
    for whose in ("", "Proxied", "Other")
    for part in ("Organization", "BranchType", "BranchIdentifier")
}
_NO_PERSON = {"And", "CorporationName", "ShortForm"}  # one of several, or a business


class _Names:
    """probablepeople, with its model."""

    def __init__(self) -> None:
        import probablepeople

        self._parse, self._tokenize = probablepeople.parse, probablepeople.tokenize
        self._model = NameModel.of(probablepeople.TAGGERS["generic"])

    def labels(self, full: str) -> tuple[list[str], list[str]]:
        """The words, and what each is."""
        words: list[str] = full.split()
        if not "".join(words).isalpha():
            words = self._tokenize(full)
        labels = self._model.read(words) if self._model is not None and words else None
        if labels is None:
            labels = [label for _, label in self._parse(full)]
        return words, labels


_names = cache(_Names)


def prepare() -> None:
    """Load the model."""
    _names()


def person(full: str) -> dict[str, str]:
    """The parts of a person's name by probablepeople's labels; none if it is not clearly one."""
    words, labels = _names().labels(full)
    parts = dict(zip(labels, words, strict=True))
    if len(parts) < len(labels):
        parts = _together(words, labels)
    if not parts.keys().isdisjoint(_NO_PERSON):
        return {}
    return {label: text.strip(" ,;") for label, text in parts.items()}


def _together(words: list[str], labels: list[str]) -> dict[str, str]:
    """The words of each part; none if the same part stands in two places."""
    parts: dict[str, list[str]] = {}
    switch = before = ""
    for word, found in zip(words, labels, strict=True):
        label = found
        if label in _AGAIN:
            switch = min(switch or label, label, key=list(_AGAIN).index)
        elif switch and label in parts:
            label = _AGAIN[switch] + label
        may_repeat = {label, before} & _MAY_INTERRUPT or label == before
        if label in parts and not may_repeat:
            return {}
        parts.setdefault(label, []).append(word)
        before = label
    return {label: " ".join(some) for label, some in parts.items()}
