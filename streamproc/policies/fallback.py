"""Another answer when a stage has none."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from copy import deepcopy
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from streamproc.entering import Entered, Stacked
from streamproc.errors import StreamprocError
from streamproc.interfaces import Inner, Layer, Policy, Site, Visit
from streamproc.types import CallResult, JsonValue, Record

if TYPE_CHECKING:
    from urllib.parse import SplitResult

log = logging.getLogger("streamproc")

_ASKS = ("http", "python", "value")
_FORMS: tuple[Callable[[SplitResult], str], ...] = (
    lambda url: f"{url.scheme}://{url.netloc}",
    lambda url: f"{url.scheme}://{url.netloc}{url.path}",
    lambda url: url.geturl(),
)


class Fallback(Policy, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A `chain` of others to ask. With `mark` the object says in `_source` which one answered."""

    level: ClassVar[Literal["record"]] = "record"
    is_manner: ClassVar[bool] = False
    asks_again: ClassVar[bool] = True
    beside: ClassVar[tuple[str, ...]] = ("mark",)

    chain: tuple[Any, ...]
    mark: bool = False

    @classmethod
    def of(cls, value: JsonValue) -> Fallback | None:
        """See `Policy`."""
        return None if value is None else cls(chain=value)

    @property
    def value(self) -> tuple[CallResult, ...]:
        """See `Policy`."""
        return self.chain

    @property
    def has_answer(self) -> bool:
        """See `Policy`."""
        return bool(self.chain)

    @classmethod
    def contradictions(cls, stage: Mapping[str, object]) -> Iterable[str]:
        """See `Recipe`."""
        chain = stage.get("fallback")
        if stage.get("mark") and not chain:
            yield "mark: there is no fallback to tell from: leave mark out"
        for k, each in enumerate(chain if isinstance(chain, list | tuple) else ()):
            if isinstance(each, dict) and len(set(_ASKS) & each.keys()) != 1:
                yield f"fallback[{k}]: expected exactly one of {', '.join(_ASKS)}"

    def opened(self, site: Site) -> AbstractAsyncContextManager[Layer]:
        """The layer, with all who may be asked."""
        return FallbackChain(self, site)


class FallbackChain(Stacked):
    """The layer: it takes fields, not calls, and has those entered who are asked instead."""

    def __init__(self, fallback: Fallback, site: Site) -> None:
        """Raises `ConfigError`."""
        self._mark = fallback.mark
        self._others = [site.answerer(each, k) for k, each in enumerate(fallback.chain, 1)]
        self._names = names_of([site.source, *(each.source for each in self._others)])

    async def __aenter__(self) -> Self:
        await self._enter_all(self._others)
        return self

    def wrap(self, inner: Inner, site: Site) -> Inner:
        """`inner` with this policy around it."""
        observer = site.observer
        first, *names = self._names
        others = [(name, each.call) for name, each in zip(names, self._others, strict=True)]

        async def answered(fields: Record, visit: Visit) -> CallResult:
            failure: Exception
            try:
                return self._marked(await inner(fields, visit), first)
            except StreamprocError:
                raise  # it ends the stream, which no other answer mends
            except Exception as error:
                failure = error
            for name, other in others:
                observer.fell_back()
                log.debug("stage %s: asking %s instead: %s", site.name, name, failure)
                try:
                    return self._marked(await other(fields, visit), name)
                except StreamprocError:
                    raise
                except Exception as error:
                    failure = error
            raise failure

        return answered

    def _marked(self, value: CallResult, name: str) -> CallResult:
        return value | {"_source": name} if self._mark and isinstance(value, dict) else value


class Constant(Entered):
    """A constant, the end of a chain: it asks nobody and cannot fail."""

    source = "value"

    def __init__(self, value: JsonValue) -> None:
        self._value = value

    async def call(self, fields: object, visit: object) -> CallResult:
        """The value, a new one each time: stages may change what they are given."""
        return deepcopy(self._value)


def names_of(sources: Sequence[str]) -> list[str]:
    """What each is called in `_source`: as much of a URL as tells it from the others."""
    from urllib.parse import urlsplit

    urls = [urlsplit(each) if "://" in each else None for each in sources]
    names = list(sources)
    for form in _FORMS:
        shown = [None if url is None else form(url) for url in urls]
        is_last = form is _FORMS[-1]
        counts = Counter(shown)
        for i, name in enumerate(shown):
            if name is not None and (counts[name] == 1 or is_last):
                names[i], urls[i] = name, None
    return names
