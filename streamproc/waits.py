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
        other = found.get(key, wait)
        waiting = wait.waiting + (other.waiting if other is not wait else 0)
        left_s = max(
            (each for each in (wait.left_s, other.left_s) if each is not None), default=None
        )
        found[key] = structs.replace(wait, waiting=waiting, left_s=left_s)
    return list(found.values())
