"""Lines to workers and back: who gets how many, and what becomes of those of one that dies."""

from __future__ import annotations

import asyncio
import pickle
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from streamproc.codec import OnError
from streamproc.counters import StageMetrics
from streamproc.engines import processes
from streamproc.engines.framing import Kind, WorkBatch, pack_run
from streamproc.engines.processes import ProcessEngine
from streamproc.engines.worker_pool import WorkerPool, WorkerProcess
from streamproc.errors import PassedOnError, RestartsError
from streamproc.interfaces import NOBODY
from streamproc.pipeline.channel import Channel
from streamproc.record import Batch, Cursor
from streamproc.testing.contracts.engines import Ends
from tests.simulated import settle

LINES = [b'{"n":%d}' % n for n in range(40)]


class ScriptedWorker(WorkerProcess):
    """No process: the test says what it does."""

    async def start(self, pool: WorkerPool) -> None:
        self._wire: Any = self  # it sends nowhere
        self.told: list[Kind] = []
        for kind in (Kind.READY, Kind.WANT):
            asyncio.get_running_loop().call_soon(self.says, kind)

    def send(self, kind: Kind, *_: bytes) -> None:
        self.told.append(kind)
        if kind in (Kind.ABORT, Kind.END):
            self._end()

    def says(self, kind: Kind, *parts: bytes) -> None:
        self._framed(kind, memoryview(b"".join(parts)))

    def finishes(self) -> int:
        """All that it has; how many lines."""
        count = 0
        for number, span in [*self.spans.items()]:
            lines = span.batch.lines[span.start : span.stop]
            piece = WorkBatch(number, span.batch.cursor, lines)
            self.says(Kind.RUN, *pack_run(piece, 0, [*lines], {}))
            count += len(lines)
        return count

    def kill(self) -> None:
        self._end()


class World:
    """An engine of two such workers, which is given `LINES`; `running` is its run."""

    running: asyncio.Future[None]

    def __init__(self, *, hang_s: float = 60.0, max_restarts: int = 10) -> None:
        self.pool = WorkerPool(
            2, lambda k: b"", NOBODY,
            is_inline=False, hang_s=hang_s, stage="s", max_restarts=max_restarts,
        )  # fmt: skip
        self.counts: dict[Any, StageMetrics] = {"s": StageMetrics()}
        self.engine = ProcessEngine(self.pool, OnError("annotate", False), self.counts)
        self.ends = Ends()

    @property
    def workers(self) -> list[Any]:
        return sorted(self.engine._workers, key=lambda worker: worker.place)

    async def finish(self) -> None:
        """Whoever has something does it and asks for more, until all is done."""
        while not self.running.done():
            for worker in self.workers:
                worker.finishes()
                worker.says(Kind.WANT)
            await settle()
        await self.running

    def all_lines(self) -> Counter[bytes]:
        return Counter(line for ends in self.ends.lines.values() for line, _ in ends)


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Runs `story` while an engine is at work; it has to leave nothing behind."""
    monkeypatch.setattr(processes, "WorkerProcess", ScriptedWorker)

    def run(story: Callable[[World], Awaitable[None]], **more: Any) -> None:
        async def main() -> None:
            world, work = World(**more), Channel(0)
            async with world.engine as engine:
                world.running = asyncio.ensure_future(engine.run(work, world.ends))
                await work.send(Batch(0, Cursor("in", 1, 0), [*LINES], 400))
                work.close()
                await settle()
                await story(world)
            assert asyncio.all_tasks() == {asyncio.current_task()}

        asyncio.run(main())

    return run


def test_who_asks_gets_more(play: Any) -> None:
    """And who does not keeps the one line that it has: lines wait for nobody in particular."""

    async def story(world: World) -> None:
        slow, fast = world.workers
        assert [span.stop - span.start for span in slow.spans.values()] == [1]
        done = 0
        while done < len(LINES) - 1:
            done += fast.finishes()
            fast.says(Kind.WANT)
            await settle()
        assert not world.running.done()
        assert slow.finishes() == 1
        await world.running
        assert world.all_lines() == Counter(LINES)

    play(story)


def test_what_a_dead_one_had_is_done_by_others(play: Any) -> None:
    """Once; and what it had counted counts."""

    async def story(world: World) -> None:
        dead, _ = world.workers
        counted = {"s": StageMetrics()}
        counted["s"].calls = 7
        dead.says(Kind.BEAT, pickle.dumps((1, 0.5, counted, [], [])))
        assert (world.engine.in_flight, world.counts["s"].calls) == (1, 7)
        dead.kill()
        await settle()
        assert world.engine.restarts == 1
        assert dead not in world.workers
        await world.finish()
        assert world.all_lines() == Counter(LINES)
        world.workers[0].says(Kind.BEAT, pickle.dumps((0, 0.0, {}, [], [])))
        assert (world.engine.in_flight, world.counts["s"].calls) == (0, 7)

    play(story)


def test_too_many_deaths_end_it(play: Any) -> None:
    """Also who leaves the engine hears of it."""

    async def story(world: World) -> None:
        for _ in range(2):
            world.workers[0].kill()
            await settle()
        with pytest.raises(RestartsError, match="deaths of workers within a minute: 2"):
            await world.running

    with pytest.raises(RestartsError):
        play(story, max_restarts=1)


def test_what_ends_a_worker_for_good_ends_the_run(play: Any) -> None:
    """With the worker's own words, and its code."""

    async def story(world: World) -> None:
        world.workers[1].says(Kind.FATAL, pickle.dumps(("no key", 77)))
        await world.running

    with pytest.raises(PassedOnError, match="no key") as raised:
        play(story)
    assert raised.value.exit_code == 77


def test_nothing_is_given_when_it_winds_down(play: Any) -> None:
    """What workers have is waited for, and the rest stays open."""

    async def story(world: World) -> None:
        world.engine.wind_down()
        for worker in world.workers:
            assert worker.told[-1] is Kind.WIND_DOWN
            worker.says(Kind.WANT)
        await settle()
        assert not world.running.done()
        assert sum(worker.finishes() for worker in world.workers) == 2
        await world.running
        assert world.all_lines() == Counter(LINES[:2])

    play(story)


def test_one_of_which_nothing_comes_is_killed(play: Any) -> None:
    """If it has something to do; what it had is done elsewhere."""

    async def story(world: World) -> None:
        hung, idle = world.workers
        idle.finishes()
        await hung.gone
        world.pool.hang_s = 60.0  # the others may take their time
        assert hung.is_hung
        assert not idle.gone.done()
        await world.finish()
        assert world.all_lines() == Counter(LINES)

    play(story, hang_s=0.05)
