"""Who killed a worker: lines are done again in ever smaller parts until one is left."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from streamproc.engines.crash_recovery import CrashRecovery
from streamproc.engines.worker_pool import WorkItem
from streamproc.errors import RestartsError
from streamproc.record import Batch, Cursor, Failed


class Worker:
    """A process that has some work."""

    place = 0
    was_killed = is_hung = False

    def __init__(self, *items: WorkItem) -> None:
        self.spans = dict(enumerate(items))

    def how_it_ended(self) -> str:
        return "worker 0 died: exit code 139"


class World:
    def __init__(self, *, is_inline: bool = False, max_restarts: int = 100) -> None:
        self.blamed: list[tuple[int, Failed]] = []
        pool: Any = SimpleNamespace(
            is_inline=is_inline, max_restarts=max_restarts, stage="s", hang_s=60.0,
            audience=SimpleNamespace(wanted=frozenset()),
        )  # fmt: skip
        self.recovery = CrashRecovery(pool, lambda failed, _, i: self.blamed.append((i, failed)))
        self.batch = Batch(0, Cursor("in", 1, 0), [b"{}"] * 40, 120)

    def item(self, start: int, stop: int, **more: Any) -> WorkItem:
        return WorkItem(self.batch, start, stop, **more)

    def dies(self, worker: Any) -> None:
        self.recovery.take_back(worker)

    def search(self, culprit: int) -> int:
        """Give work to one worker after the other; how many of them the culprit kills."""
        deaths = 0
        while not self.recovery.is_empty:
            item = self.recovery.next_for(Worker())  # type: ignore[arg-type]
            assert item is not None
            if item.start <= culprit < item.stop:
                deaths += 1
                self.dies(Worker(item))
            else:
                for i in range(item.start, item.stop):
                    assert self.batch.results[i] is None, "done twice"
                    self.batch.results[i] = b"done"
        return deaths


@pytest.mark.parametrize("culprit", [0, 17, 39])
@pytest.mark.parametrize("is_inline", [False, True])
def test_the_one_that_kills_is_found_and_all_others_are_done_once(
    culprit: int, is_inline: bool
) -> None:
    world = World(is_inline=is_inline)
    if is_inline:  # one by one: what came before it is done
        world.batch.results[:culprit] = [b"done"] * culprit
    world.dies(Worker(world.item(0, 40)))
    assert world.search(culprit) <= 3
    assert [(i, failed.kind) for i, failed in world.blamed] == [(culprit, "worker_crash")]
    assert world.batch.results.count(b"done") == 39


def test_what_has_a_result_is_not_done_again() -> None:
    world = World()
    world.batch.results[10:30] = [b"done"] * 20
    world.dies(Worker(world.item(0, 40)))
    again = [i for item in world.recovery.suspects for i in range(item.start, item.stop)]
    assert again == [*range(10), *range(30, 40)]


def test_what_a_worker_had_not_begun_is_no_suspect() -> None:
    """Of one that does records in order: only its first open line may have killed it."""
    world = World(is_inline=True)
    world.batch.results[:5] = [b"done"] * 5
    world.dies(Worker(world.item(0, 5), world.item(5, 20), world.item(20, 40)))
    suspects = [(item.start, item.stop) for item in world.recovery.suspects]
    assert suspects == [(i, i + 1) for i in range(5, 20)]
    assert [(item.start, item.stop) for item in world.recovery.again] == [(20, 40)]


def test_a_suspect_goes_alone() -> None:
    """Beside other work its death would take that along."""
    world = World()
    world.dies(Worker(world.item(0, 1)))
    busy: Any = Worker(world.item(1, 2))
    assert world.recovery.next_for(busy) is None
    assert world.recovery.next_for(Worker()) is not None  # type: ignore[arg-type]


def test_a_kill_from_outside_is_nobodys_fault_until_it_comes_again_and_again() -> None:
    world = World()
    world.recovery.suspects.append(world.item(0, 1, alone=True))
    kills = 0
    while not world.recovery.is_empty:
        worker = Worker(world.recovery.suspects.popleft())
        worker.was_killed = True
        world.dies(worker)
        kills += 1
    assert (kills, [i for i, _ in world.blamed]) == (4, [0])


def test_too_many_deaths_within_a_minute_end_the_run() -> None:
    """The first restart is at once, later ones wait longer each time."""
    world, worker = World(max_restarts=4), Worker()
    pauses_s = [world.recovery.count(worker) for _ in range(4)]  # type: ignore[arg-type]
    assert pauses_s[0] == 0.0
    assert pauses_s == sorted(set(pauses_s))
    with pytest.raises(RestartsError, match="within a minute: 5"):
        world.recovery.count(worker)  # type: ignore[arg-type]
