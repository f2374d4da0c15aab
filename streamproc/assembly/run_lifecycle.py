"""The course of a run: its id, its verdict, and what observers are told of both its ends."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from types import TracebackType
from typing import Self
from uuid import uuid4

from msgspec import structs

from streamproc.config.settings import Settings
from streamproc.errors import StreamprocError, described, foremost, worst_of
from streamproc.interfaces import Audience, RunEnded, RunStarted
from streamproc.pipeline.run import Run
from streamproc.pipeline.shutdown import Shutdown
from streamproc.secrets import redact
from streamproc.telemetry.summary import Summary


class RunLifecycle:
    """Entered when the observers are, and left when all else is closed."""

    def __init__(self, audience: Audience, settings: Settings, shutdown: Shutdown) -> None:
        self._audience = audience
        self._settings = settings
        self._shutdown = shutdown
        self._run: Run | None = None
        self._account: Callable[[], Summary] = Summary.nothing

    def __enter__(self) -> Self:
        return self

    def begin(self, run: Run, account: Callable[[], Summary]) -> None:
        """All is open. `account` is the summary so far."""
        self._run, self._account = run, account
        if RunStarted in self._audience.wanted:
            self._audience.tell(RunStarted(self._settings.stage_names))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        raised: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        errors: list[BaseException] = []
        if self._run is not None:
            errors += self._run.errors
        if RunEnded not in self._audience.wanted:
            return
        summary = self._account()
        codes = {summary.exit_code}
        if isinstance(raised, asyncio.CancelledError):
            codes.add(128 + (self._shutdown.signal or signal.SIGINT))
        elif raised is not None and raised not in errors:
            errors.append(raised)
            codes.add(getattr(raised, "exit_code", 1))
        code = worst_of(codes)
        why = None if not errors else _said(foremost(errors))
        counts = structs.asdict(summary) | {"exit_code": code}
        self._audience.tell(RunEnded(code, why, counts))


def run_id_of(settings: Settings) -> str:
    """What the run is called: as somebody says, or else as no other one is."""
    return settings.run_id or uuid4().hex[:12]


def _said(error: BaseException) -> str:
    return redact(str(error) if isinstance(error, StreamprocError) else described(error))
