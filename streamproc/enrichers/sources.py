"""Several sources at once: `all = [...]`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from time import perf_counter
from typing import Any, ClassVar, Literal, Self

from streamproc.entering import Stacked
from streamproc.errors import RecordError, SourcesError, StreamprocError, described
from streamproc.interfaces import (
    Enricher,
    SourceOf,
    StageKind,
    StageObserver,
    StageScope,
    Visit,
)
from streamproc.record import NO_RESULT, FanOutResult
from streamproc.secrets import redact
from streamproc.types import CallResult, JsonValue, Record


class Sources(StageKind, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The stages in it say what is asked; each has policies of its own."""

    shorthand: ClassVar[str] = "stages"
    what: ClassVar[str] = "a stage with several sources"
    takes_policies: ClassVar[bool] = False
    has_prefix: ClassVar[bool] = False

    stages: tuple[Any, ...]

    @classmethod
    def contradictions(cls, stage: Mapping[str, object]) -> Iterable[str]:
        """See `Recipe`."""
        if stage["all"] in ([], ()):
            yield "all: at least one source is needed"

    @classmethod
    def default_name(cls, key: str, value: JsonValue) -> str:
        """See `StageKind`."""
        return "sources"

    @property
    def is_users(self) -> bool:
        """See `StageKind`: that of its sources is."""
        return False

    def enricher(self, scope: StageScope) -> Enricher:
        """See `StageKind`."""
        return SourcesEnricher(list(map(scope.source, self.stages)), scope.observer)


class SourcesEnricher(Stacked):
    """Asks all of them concurrently. What succeeded is kept, whatever the others do."""

    mode: Literal["layered"] = "layered"
    replaces = False

    def __init__(self, sources: Sequence[SourceOf], observer: StageObserver) -> None:
        self._sources = sources
        self._observer = observer

    async def __aenter__(self) -> Self:
        await self._enter_all(source.enricher for source in self._sources)
        return self

    async def call(self, fields: Record, visit: Visit) -> CallResult:
        """`FanOutResult` results. Raises `SourcesError` if a source failed."""
        asked = [s for s in self._sources if _is_wanted(s, fields, visit)]
        begun_s = perf_counter()

        def ask(source: SourceOf) -> CallResult:
            async def job(own: Visit) -> CallResult:
                came_s = perf_counter()
                try:
                    return await source.enricher.call(fields.copy(), own)
                finally:
                    if source.times is not None:
                        source.times.passed(came_s, own)

            return visit.fork(job)

        forks = [ask(source) for source in asked]
        try:
            if forks:
                await visit.wait_for_call(_all_of([fork.answer for fork in forks]))
        finally:
            for fork in forks:
                fork.cancel()
        parts: list[tuple[tuple[str, ...] | None, Any]] = []
        errors: dict[str, RecordError] = {}
        for source, fork in zip(asked, forks, strict=True):
            error = fork.answer.exception()
            if error is None:
                _keep(parts, errors, source, fork.answer.result())
            elif isinstance(error, StreamprocError) or not isinstance(error, Exception):
                raise error
            else:
                errors[source.name] = _as_record_error(error)
        attempts = {s.name: fork.attempts for s, fork in zip(asked, forks, strict=True)}
        visit.attempts = max(attempts.values(), default=1)
        self._observer.gathered(perf_counter() - begun_s, errors)
        if errors:
            facts = {
                name: {"kind": error.kind, "message": redact(error.message),
                       "attempts": attempts[name], **error.details}
                for name, error in errors.items()
            }  # fmt: skip
            raise SourcesError(next(iter(errors.values())), facts, FanOutResult(parts))
        return FanOutResult(parts)


def _all_of(answers: list[asyncio.Future[CallResult]]) -> asyncio.Future[None]:
    """Done when all of them are; it may be cancelled alone."""
    turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    left = len(answers)

    def one_more(_: object) -> None:
        nonlocal left
        left -= 1
        if not left and not turn.done():
            turn.set_result(None)

    for answer in answers:
        answer.add_done_callback(one_more)
    return turn


def _is_wanted(source: SourceOf, fields: Record, visit: Visit) -> bool:
    if visit.only is not None and source.name not in visit.only:
        return False
    return source.when is None or bool(source.when(fields))


def _keep(
    parts: list[tuple[tuple[str, ...] | None, CallResult]],
    errors: dict[str, RecordError],
    source: SourceOf,
    value: CallResult,
) -> None:
    if value is NO_RESULT:
        return
    if source.into is None and not isinstance(value, dict | None):
        errors[source.name] = RecordError("exception", "expected an object to merge")
    else:
        parts.append((source.into, value))


def _as_record_error(error: Exception) -> RecordError:
    return error if isinstance(error, RecordError) else RecordError("exception", described(error))
