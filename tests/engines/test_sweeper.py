"""Time limits without a timer per record: never early, and not much too late."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from streamproc.engines.slot import CLEANUP_S
from streamproc.engines.state import CALLING, ENDING, RUNNING, CallState
from streamproc.engines.sweeper import Sweeper
from streamproc.trials.clock import simulate


class Task:
    """What the sweeper looks at of a slot."""

    def __init__(self, timeout_s: float = 1.0) -> None:
        self.state: CallState = RUNNING
        self.timed: Any = SimpleNamespace(timeout_s=timeout_s)
        self.deadline_s: float | None = None
        self.attempt = self.seen = 0
        self.begun_s = self.cancelled_s = 0.0
        self.events: list[tuple[str, float]] = []

    def call(self) -> None:
        self.state = CALLING
        self.attempt += 1

    def interrupt(self, now: float, *, is_deadline: bool) -> None:
        self.events.append(("deadline" if is_deadline else "timeout", now))
        self.state, self.cancelled_s, self.deadline_s = ENDING, now, None

    def on_abandon(self, slot: Any) -> None:
        self.events.append(("abandoned", asyncio.get_running_loop().time()))


def swept(task: Task, seconds: float, *, timeout_s: float = 1.0, thaw: bool = False) -> list[Any]:
    """What happens to `task` in that time; with `thaw` most of it the process was stopped."""

    async def main() -> list[Any]:
        sweeper = Sweeper([timeout_s], lambda late_s: None)
        sweeper.slots.add(task)  # type: ignore[arg-type]
        loop: Any = asyncio.get_running_loop()
        begun_s = loop.time()
        if task.deadline_s is not None:
            task.deadline_s += begun_s
        sweeper.start()
        if thaw:
            await asyncio.sleep(timeout_s / 2)
            loop.now += seconds
            sweeper.thaw()
            await asyncio.sleep(timeout_s / 10)
        else:
            await asyncio.sleep(seconds)
        sweeper.stop()
        return [(what, at_s - begun_s) for what, at_s in task.events]

    return simulate(main())


@pytest.mark.parametrize("timeout_s", [0.05, 1.0, 30.0])
def test_a_call_whose_time_is_over_is_interrupted_at_most_two_ticks_late(timeout_s: float) -> None:
    task = Task(timeout_s)
    task.call()
    [(what, at_s)] = swept(task, timeout_s * 1.05 + 0.025, timeout_s=timeout_s)
    assert what == "timeout"
    assert timeout_s <= at_s


def test_a_task_that_calls_nobody_has_all_the_time() -> None:
    assert swept(Task(), 100.0) == []


def test_each_call_has_its_own_time() -> None:
    """The next attempt of a record begins anew, though its slot never was idle."""
    task = Task()

    async def main() -> None:
        sweeper = Sweeper([1.0], lambda late_s: None)
        sweeper.slots.add(task)  # type: ignore[arg-type]
        sweeper.start()
        for _ in range(5):
            task.call()
            await asyncio.sleep(0.9)
        sweeper.stop()

    simulate(main())
    assert task.events == []


def test_a_deadline_counts_in_any_state() -> None:
    task = Task(timeout_s=3600.0)
    task.deadline_s = 0.5
    [(what, at_s)] = swept(task, 1.0)
    assert what == "deadline"
    assert at_s >= 0.5


def test_a_call_that_ignores_its_cancellation_is_abandoned() -> None:
    task = Task()
    task.call()
    (_, interrupted_s), (what, at_s) = swept(task, 4.0)
    assert what == "abandoned"
    assert at_s - interrupted_s >= CLEANUP_S


def test_the_time_in_which_the_process_was_stopped_does_not_count() -> None:
    """After Ctrl-Z and `fg` calls have what they had left."""
    task = Task()
    task.call()
    task.deadline_s = 0.9
    assert swept(task, 100.0, thaw=True) == []
