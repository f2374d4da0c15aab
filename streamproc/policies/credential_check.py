"""A credential that the target refuses is one mistake, not one for every record of the input.

If the first ten records that a target answers are all answered 401, the run ends (77). Until
that is clear they are held back, so that they are unfinished then, and a resume has them again.
"""

from __future__ import annotations

import asyncio
import logging

from msgspec import Struct

from streamproc.errors import CallError, UnauthorizedError
from streamproc.interfaces import Call, Inner, Site, Visit
from streamproc.types import CallResult
from streamproc.waiting import resolve

log = logging.getLogger("streamproc")

_ENOUGH = 10  # records
_QUIET_S = 1.0  # nobody was answered for so long, and nobody is asking
_BEFORE_S = 0.1  # a record is let go so long before its deadline, and fails of its answer
_REFUSALS = (401, 403)


class CredentialCheck(Struct, frozen=True):
    """The layer. With `keep_going` it only warns, as it does of ten times 403."""

    keep_going: bool

    def wrap(self, inner: Inner, site: Site) -> Inner:
        """`inner` with this policy around it."""
        answers = _FirstAnswers(inner, site, holds=not self.keep_going)

        def checked(call: Call, visit: Visit) -> CallResult:
            return inner(call, visit) if answers.are_clear else answers.ask(call, visit)

        return checked


class _FirstAnswers:
    """Those of one target, until they say that the credential is good, or is not."""

    def __init__(self, inner: Inner, site: Site, *, holds: bool) -> None:
        self._inner = inner
        self._site = site
        self._holds = holds
        self.are_clear = False
        self._status: int | None = None  # of all of them
        self._refused = 0
        self._verdict: UnauthorizedError | None = None  # the run is ending
        self._asking = 0
        self._held: list[asyncio.Future[None]] = []
        self._timer: asyncio.TimerHandle | None = None

    async def ask(self, call: Call, visit: Visit) -> CallResult:
        """The answer. Raises `UnauthorizedError`."""
        if self._verdict is not None:
            raise self._verdict
        try:
            value = await self._ask(call, visit)
        except CallError as failure:
            if not call.standing.is_patient:
                raise  # an older answer takes its place
            if failure.status in _REFUSALS:
                await self._hear(failure, call, visit)
            elif failure.is_answer:
                self._clear()
            raise
        self._clear()
        return value

    async def _ask(self, call: Call, visit: Visit) -> CallResult:
        self._asking += 1
        try:
            return await self._inner(call, visit)
        finally:
            self._asking -= 1

    async def _hear(self, failure: CallError, call: Call, visit: Visit) -> None:
        if self._status not in (None, failure.status):
            self._clear()
        if self.are_clear:
            return
        self._status = failure.status
        self._refused += 1
        holds = self._holds and failure.status == 401
        if self._refused < _ENOUGH:
            if holds:
                await self._hold(visit)
            return
        said = (
            f"{self._site.place(call.target)}: the first {_ENOUGH} records were all answered "
            f"{failure.status}: {failure.message}"
        )
        if not holds:
            log.warning("%s; check the credential", said)
            self._clear()
            return
        self._verdict = UnauthorizedError(
            f"{said}; check the credential (auth, headers) and start again: a checkpoint has these "
            "records as unprocessed; or let them fail one by one with --keep-going"
        )
        self._release(self._verdict)
        raise self._verdict from failure

    async def _hold(self, visit: Visit) -> None:
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        self._held.append(turn)
        self._look_later()
        if visit.deadline_s is not None:
            loop.call_at(visit.deadline_s - _BEFORE_S, resolve, turn)
        await visit.gather(turn, self._release)

    def _look_later(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(_QUIET_S, self._look)

    def _look(self) -> None:
        if self._asking:
            self._look_later()
        else:
            self._release()

    def _clear(self) -> None:
        """It is not the credential, or it was said: from now on records fail for themselves."""
        self.are_clear = True
        self._release()

    def _release(self, error: UnauthorizedError | None = None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        held, self._held = self._held, []
        for turn in held:
            if turn.done():
                continue  # its record was given up
            if error is None:
                turn.set_result(None)
            else:
                turn.set_exception(error)
