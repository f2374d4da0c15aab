"""When a throttling service wants to be asked again.

Services agree on little: `Retry-After` is the standard, everything else is custom.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from streamproc.http.contract import Response

_NUMBER = re.compile(r"\d{1,30}(?:\.\d{0,30})?|\.\d{1,30}").fullmatch
_DURATION = re.compile(r"(?:\d{1,15}(?:\.\d{1,15})?(?:ms|[smhd]))+").fullmatch
_DURATION_PART = re.compile(r"([\d.]+)(ms|[smhd])").finditer
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_QUOTA = re.compile(r"[;,]\s*([a-z]+)\s*=\s*(\d{1,15})").finditer

_RESETS = (b"x-ratelimit-reset", b"ratelimit-reset", b"x-rate-limit-reset")
_RESET_AFTER = b"x-ratelimit-reset-after"
_QUOTAS = (b"requests", b"tokens")
_EPOCH_S = 1e9  # from 2001 on; as a delay it would be 32 years
_EPOCH_MS = 1e11


def retry_after_s(response: Response, now_epoch_s: float) -> float | None:
    """Seconds until another attempt makes sense, 0 if the time has passed, None if unknown.

    Points in time count from the answer's own Date, so that clocks need not agree.
    """
    value = response.header(b"retry-after-ms")
    if value is not None and (number := _number(value)) is not None:
        return number / 1000
    value = response.header(b"retry-after")
    if value is not None:
        if (number := _number(value)) is not None:
            return number
        if (date := _date(value)) is not None:
            return max(0.0, date - _now(response, now_epoch_s))
    return next(_resets(response, now_epoch_s), None)


def _resets(response: Response, now_epoch_s: float) -> Iterator[float]:
    """What the other usual headers say of a quota that is used up, the most common first."""
    for name in _RESETS:
        value = response.header(name)
        if value is None or _has_some_left(response, name.removesuffix(b"reset") + b"remaining"):
            continue
        number = _number(value)
        if number is None:
            if (duration := _duration(value)) is not None:
                yield duration
        elif number < _EPOCH_S:
            yield number
        else:
            at = number / 1000 if number >= _EPOCH_MS else number
            yield max(0.0, at - _now(response, now_epoch_s))
    if (value := response.header(b"ratelimit")) is not None:
        yield from _draft(value)
    value = response.header(_RESET_AFTER)
    if value is not None and not _has_some_left(response, b"x-ratelimit-remaining"):
        number = _number(value)
        delay = _duration(value) if number is None else number
        if delay is not None:
            yield delay
    yield from _used_up(response)


def _has_some_left(response: Response, remaining: bytes) -> bool:
    """Whether the header `remaining` says so: then the quota is not why it was refused."""
    value = response.header(remaining)
    return value is not None and (_number(value) or 0.0) > 0


def _draft(value: str) -> Iterator[float]:
    """`"default";r=0;t=30`, or an earlier draft's `limit=10, remaining=0, reset=30`.

    Of several quotas the ones that are used up count, and of those the longest.
    """
    delays = []
    items = [value] if "reset" in value else value.split(",")
    for item in items:
        members = {match[1]: int(match[2]) for match in _QUOTA(";" + item.lower())}
        remaining = members.get("r", members.get("remaining", 0))
        delay = members.get("t", members.get("reset"))
        if remaining == 0 and delay is not None:
            delays.append(float(delay))
    if delays:
        yield max(delays)


def _used_up(response: Response) -> Iterator[float]:
    """`x-ratelimit-reset-requests: 6m0s`; the quota that has something left is not the one."""
    delays = []
    for quota in _QUOTAS:
        value = response.header(b"x-ratelimit-reset-" + quota)
        delay = _duration(value) if value is not None else None
        if delay is not None and not _has_some_left(response, b"x-ratelimit-remaining-" + quota):
            delays.append(delay)
    if delays:
        yield max(delays)


def _now(response: Response, now_epoch_s: float) -> float:
    value = response.header(b"date")
    date = _date(value) if value is not None else None
    return now_epoch_s if date is None else date


def _number(value: str) -> float | None:
    return float(value) if _NUMBER(value := value.strip()) else None


def _duration(value: str) -> float | None:
    value = value.strip().lower()
    if not _DURATION(value):
        return None
    return math.fsum(float(part[1]) * _UNITS_S[part[2]] for part in _DURATION_PART(value))


def _date(value: str) -> float | None:
    from email.utils import mktime_tz, parsedate_tz

    try:
        parsed = parsedate_tz(value)
        return None if parsed is None else float(mktime_tz(parsed))
    except (ValueError, OverflowError, IndexError, TypeError):
        return None
