"""What holds a run back: values, for whoever shows them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct, structs

Reason = Literal["circuit_open", "retry_after", "rate_limited", "concurrency", "reader"]


class Wait(Struct, frozen=True):
    """`waiting` calls wait for `target`, for `left_s` more if that is known.

    A circuit opened after `failures`, the last one with this `symptom`: its status, or kind.
    The reader of the output is no target.
    """

    reason: Reason
    target: str = ""
    waiting: int = 0
    left_s: float | None = None
    symptom: str = ""
    failures: int = 0


def merged(waits: Iterable[Wait]) -> list[Wait]:
    """Those of several processes: one for each reason and target."""
    found: dict[tuple[str, str], Wait] = {}
    for wait in waits:
        key = wait.reason, wait.target
        found[key] = _both(found[key], wait) if key in found else wait
    return list(found.values())


def _both(one: Wait, other: Wait) -> Wait:
    known = [each.left_s for each in (one, other) if each.left_s is not None]
    waiting = one.waiting + other.waiting
    return structs.replace(other, waiting=waiting, left_s=max(known, default=None))
