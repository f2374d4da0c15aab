"""What the log tells of calls: every attempt (debug), and who is asked again (info)."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Hashable
from time import perf_counter
from typing import Self

from msgspec import Struct

from streamproc.errors import CallError, RecordError, described
from streamproc.interfaces import Call, Inner, RecheckError, Site, Visit
from streamproc.policies.retry import RetryPolicy
from streamproc.types import CallResult

log = logging.getLogger("streamproc")

_GROUP_S = 1.0
_SHOWN = 3  # reasons of a group, the most frequent


class ToldAttempts(Struct, frozen=True):
    """Tells observers of each attempt. There is no such layer if nobody wants to know."""

    def wrap(self, inner: Inner, site: Site) -> Inner:
        """`inner` with this policy around it."""

        def tell(visit: Visit, outcome: str, begun_s: float) -> None:
            took_s = perf_counter() - begun_s
            said = visit.record_id, site.name, visit.attempts, outcome, took_s
            log.debug("%s: %s: attempt %d: %s, %.3f s", *said)

        async def told(call: Call, visit: Visit) -> CallResult:
            begun_s = perf_counter()
            try:
                value = await inner(call, visit)
            except RecheckError:  # nothing was asked yet
                raise
            except BaseException as error:
                said = error.message if isinstance(error, RecordError) else described(error)
                tell(visit, said, begun_s)
                raise
            tell(visit, f"{call}: {'nothing found' if call.is_negative else 'ok'}", begun_s)
            return value

        return told if log.isEnabledFor(logging.DEBUG) else inner


class ToldRetries:
    """`retry` with a log: retries are told in groups, at most one line a second per target."""

    def __init__(self, retry: RetryPolicy) -> None:
        self._retry = retry
        self._groups: dict[str, Counter[str]] = {}  # by stage and target: how often, and why
        self._timers: dict[str, asyncio.TimerHandle] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        for place in list(self._groups):
            self._tell(place)

    def wrap(self, inner: Inner, site: Site) -> Inner:
        """`inner` with this policy around it."""

        def heard(target: Hashable, failure: CallError) -> None:
            if log.isEnabledFor(logging.INFO):
                self._add(site.place(target), str(failure.status or failure.kind))

        return self._retry.wrap(inner, site, heard)

    def _add(self, place: str, reason: str) -> None:
        if place not in self._groups:
            self._groups[place] = Counter()
            loop = asyncio.get_running_loop()
            self._timers[place] = loop.call_later(_GROUP_S, self._tell, place)
        self._groups[place][reason] += 1

    def _tell(self, place: str) -> None:
        self._timers.pop(place).cancel()
        reasons = self._groups.pop(place)
        why = [f"{count} × {reason}" for reason, count in reasons.most_common(_SHOWN)]
        more = [] if len(reasons) <= _SHOWN else ["…"]
        log.info("%s: retries: %d (%s)", place, reasons.total(), ", ".join(why + more))
