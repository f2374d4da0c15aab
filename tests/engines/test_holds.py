"""While the parent is short of memory, the worker with the oldest record goes on, and no other."""

from __future__ import annotations

from typing import Any

from streamproc.engines.holds import Holds
from streamproc.engines.work_item import WorkItem
from streamproc.memory import COPIES, Hold, Memory
from streamproc.record import Batch, Cursor


class Worker:
    """A process with some lines, which hears who waits in it."""

    def __init__(self, *items: WorkItem) -> None:
        self.spans = dict(enumerate(items))
        self.told: list[Hold] = []

    def hold(self, hold: Hold) -> None:
        self.told.append(hold)


def world() -> tuple[Memory, Batch, list[Any], Holds]:
    batch = Batch(0, Cursor("in", 1, 0), [b"{}"] * 8, 24)
    workers = [Worker(WorkItem(batch, 4, 8)), Worker(WorkItem(batch, 0, 4)), Worker()]
    memory = Memory(100 * COPIES)
    holds = Holds(workers)  # type: ignore[arg-type]
    holds.begin(memory)
    return memory, batch, workers, holds


def test_nobody_is_told_anything_while_there_is_room() -> None:
    _, _, workers, holds = world()
    holds.look()
    assert [worker.told for worker in workers] == [[], [], []]


def test_all_but_the_one_with_the_oldest_record_wait() -> None:
    memory, batch, workers, holds = world()
    memory.charge(100)
    holds.look()
    assert [worker.told for worker in workers] == [
        [Hold.ALL], [Hold.ALL_BUT_OLDEST], [Hold.ALL]
    ]  # fmt: skip
    batch.results[:4] = [b"{}"] * 4  # it is done: another one has the oldest
    holds.look()
    assert [worker.told[-1] for worker in workers] == [
        Hold.ALL_BUT_OLDEST, Hold.ALL, Hold.ALL
    ]  # fmt: skip


def test_when_what_is_written_makes_room_all_wait_for_that() -> None:
    memory, _, workers, holds = world()
    memory.charge(100)
    memory.leave(50)
    holds.look()
    assert {worker.told[-1] for worker in workers} == {Hold.ALL}


def test_room_lets_all_go_on_without_being_asked_for() -> None:
    memory, _, workers, holds = world()
    memory.charge(100)
    holds.look()
    memory.refund(50)
    assert {worker.told[-1] for worker in workers} == {Hold.NONE}
    heard = [len(worker.told) for worker in workers]
    holds.look()
    assert [len(worker.told) for worker in workers] == heard
