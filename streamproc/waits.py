"""What holds a run back, and what targets let through: values, for whoever shows them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Literal, TypeVar

from msgspec import Struct, structs

Number = TypeVar("Number", int, float)
Reason = Literal["circuit_open", "retry_after", "rate_limited", "concurrency", "reader"]


class Wait(Struct, frozen=True):
    """`waiting` calls wait for `target`, for `left_s` more if that is known.

    A circuit opened after `failures`, the last one with this `symptom`: its status, or kind.
    The reader of the output is no target. `stage` is whose calls they are.
    """

    reason: Reason
    target: str = ""
    waiting: int = 0
    left_s: float | None = None
    symptom: str = ""
    failures: int = 0
    stage: str = ""


def merged(waits: Iterable[Wait]) -> list[Wait]:
    """Those of several processes: one for each reason, target and stage."""
    found: dict[tuple[str, str, str], Wait] = {}
    for wait in waits:
        key = wait.reason, wait.target, wait.stage
        found[key] = _both(found[key], wait) if key in found else wait
    return list(found.values())


def _both(one: Wait, other: Wait) -> Wait:
    known = [each.left_s for each in (one, other) if each.left_s is not None]
    waiting = one.waiting + other.waiting
    return structs.replace(other, waiting=waiting, left_s=max(known, default=None))


class Allowance(Struct, frozen=True):
    """What `target` lets through now, one of them or all that records name.

    `circuits` are how many of its circuits are in which state; `limit` are calls at once, `tokens`
    those that the rate permits. None: nothing bounds that.
    """

    target: str
    circuits: dict[str, int]
    limit: int | None
    tokens: float | None


def summed(allowances: Iterable[Allowance]) -> list[Allowance]:
    """One for each target: stages and processes each have their own."""
    found: dict[str, Allowance] = {}
    for each in allowances:
        before = found.get(each.target)
        found[each.target] = each if before is None else _sum(before, each)
    return list(found.values())


def _sum(one: Allowance, other: Allowance) -> Allowance:
    return Allowance(
        one.target,
        dict(Counter(one.circuits) + Counter(other.circuits)),
        _known_sum(one.limit, other.limit),
        _known_sum(one.tokens, other.tokens),
    )


def _known_sum(one: Number | None, other: Number | None) -> Number | None:
    if one is None or other is None:
        return other if one is None else one
    return one + other
