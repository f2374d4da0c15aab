"""Who answers when a stage has no answer, and what `_source` says of the one that did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import SplitResult, urlsplit

from streamproc.config.settings import FallbackSettings, StageSettings
from streamproc.entering import Entered

_FORMS: tuple[Callable[[SplitResult], str], ...] = (
    lambda url: f"{url.scheme}://{url.netloc}",
    lambda url: f"{url.scheme}://{url.netloc}{url.path}",
    lambda url: url.geturl(),
)


def names_of(chain: Sequence[StageSettings | FallbackSettings]) -> list[str]:
    """A name for each: the function, "value", or as much of the URL as tells it from the others.

    URLs are shown as they are written, without what `${VAR}` stands for.
    """
    urls = [None if each.http is None else urlsplit(each.http.url.written) for each in chain]
    names = [each.python or "value" for each in chain]
    for form in _FORMS:
        shown = [None if url is None else form(url) for url in urls]
        is_last = form is _FORMS[-1]
        counts = Counter(shown)
        for i, name in enumerate(shown):
            if name is not None and (counts[name] == 1 or is_last):
                names[i], urls[i] = name, None
    return names


class Constant(Entered):
    """A fallback that needs nobody."""

    def __init__(self, value: Any) -> None:
        self._value = value

    async def call(self, fields: Any, visit: Any) -> Any:
        """The value, a new one each time: stages may change what they are given."""
        from copy import deepcopy

        return deepcopy(self._value)


def late(enricher: Any) -> Any:
    """Its call, looked up when it is needed: only entering it makes one."""

    async def ask(fields: Any, visit: Any) -> Any:
        return await enricher.call(fields, visit)

    return ask
