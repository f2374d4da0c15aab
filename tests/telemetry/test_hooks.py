"""Handlers beside a run: what they get, and that nothing they do reaches the run."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import asdict

from streamproc import ConfigError, Pipeline
from streamproc.interfaces import (
    BatchRead,
    BatchWritten,
    CircuitChanged,
    Draining,
    Observer,
    ObserverKind,
    RecordEnded,
    RunEnded,
)
from streamproc.telemetry.hook_events import EVENTS, as_dict, fields_of, struct_of
from streamproc.telemetry.hook_line import MOST_WAITING, Hook
from streamproc.telemetry.hooks import Hooks

DRAINING = Draining(3)
FAILED = RecordEnded("r:f:1", "f", 1, "failed", "s", "timeout", "late")


class Log(Observer):
    """Hears of batches and of ends of records."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def batch_read(self, event: BatchRead) -> None:
        self.heard.append(event)

    def batch_written(self, event: BatchWritten) -> None:
        self.heard.append(event)

    def record_ended(self, event: RecordEnded) -> None:
        self.heard.append(event)

    def of(self, kind: type) -> list[Any]:
        return [each for each in self.heard if type(each) is kind]


class Kind(ObserverKind, frozen=True, kw_only=True):
    made: Any

    def opened(self) -> Observer:
        return self.made  # type: ignore[no-any-return]


def judge(record: dict[str, Any]) -> dict[str, Any]:
    if record["n"] % 10 == 0:
        raise ValueError("ten")
    return {"ok": True}


def tell(handle: Any, *events: Any, names: Sequence[str] = EVENTS, before_end: Any = None) -> None:
    """These events to one hook."""

    async def main() -> None:
        async with Hooks("r", [Hook("on[0]", frozenset(names), handle)]) as hooks:
            for event in events:
                hear = hooks.record_ended if type(event) is RecordEnded else hooks.state_changed
                hear(event)
            if before_end is not None:
                before_end()

    asyncio.run(main())


# What observers hear


@pytest.mark.parametrize(("ordered", "workers"), [(True, 1), (False, 2)])
def test_batches_and_ends_add_up_to_the_summary(ordered: bool, workers: int) -> None:
    """Batches are told as such; of records only what is no plain success."""
    log, out = Log(), []
    pipeline = Pipeline(
        [f"{__file__}:judge", "filter:n != `5`"],
        ordered=ordered, workers=workers, run_id="r",
    )  # fmt: skip
    pipeline._observers.add("log", Kind(made=log))
    summary = pipeline.run_sync([{"n": n} for n in range(1000)], out)
    read, written, ended = map(log.of, (BatchRead, BatchWritten, RecordEnded))
    assert sum(each.lines for each in read) == sum(each.lines for each in written) == 1000
    assert sum(each.n_bytes for each in written) == summary.bytes_out
    assert len(written) < 1000
    failed = [each for each in ended if each.outcome == "failed"]
    assert (len(failed), len(ended)) == (summary.failed, summary.failed + summary.filtered)
    first = min(failed, key=lambda each: each.line)
    assert (first.stage, first.kind, first.message) == ("judge", "exception", "ValueError: ten")
    assert len({each.id for each in ended}) == len(ended)
    assert first.id == f"r:{first.file}:{first.line}"


# What handlers get


def test_each_event_has_the_fields_that_are_promised() -> None:
    """Templates are checked against these before a run."""
    for name in EVENTS:
        made = struct_of(name)
        values = {field: {} if field == "counts" else 1 for field in made.__struct_fields__}
        found = as_dict(name, made(**values), "r")
        assert found.keys() <= fields_of(name)
        assert found["event"] == name
        assert asdict(made(**values)).keys() - found.keys() <= {"counts"}


def test_only_what_was_asked_for_is_told() -> None:
    heard: list[Any] = []
    events = [CircuitChanged("s", "t", state, "") for state in ("open", "half-open", "closed")]
    tell(heard.append, DRAINING, *events, names=["circuit_closed"])
    assert [(each["event"], each["state"]) for each in heard] == [("circuit_closed", "closed")]


def test_a_plain_function_has_a_thread_and_a_subscriber_the_loop_of_the_run() -> None:
    threads: dict[str, Any] = {}

    async def on_loop(event: dict[str, Any]) -> None:
        threads[f"loop {event['event']}"] = asyncio.get_running_loop()

    def in_thread(event: dict[str, Any]) -> None:
        threads[f"thread {event['event']}"] = threading.current_thread()

    async def main() -> asyncio.AbstractEventLoop:
        pipeline = Pipeline(["none"])
        pipeline.subscribe(on_loop)
        pipeline.subscribe(in_thread, events=("run_ended",))
        await pipeline.run([{"n": 1}], [])
        return asyncio.get_running_loop()

    loop = asyncio.run(main())
    assert threads.keys() == {"loop run_started", "loop run_ended", "thread run_ended"}
    assert threads["loop run_started"] is threads["loop run_ended"] is loop
    assert threads["thread run_ended"] is not threading.current_thread()


def test_an_event_that_there_is_not() -> None:
    with pytest.raises(ConfigError, match="no event run_endd, did you mean run_ended"):
        Pipeline(["none"]).subscribe(print, events=("run_endd",))


def test_a_second_run_is_told_anew() -> None:
    """Each with an id of its own."""
    heard: list[Any] = []
    pipeline = Pipeline(["none"])
    pipeline.subscribe(heard.append, events=("run_ended",))
    for count in (1, 2):
        pipeline.run_sync([{"n": 1}] * count, [])
    assert [each["ok"] for each in heard] == [1, 2]
    assert len({each["run_id"] for each in heard}) == 2


# What they cannot do


def test_a_thousand_wait_and_the_rest_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody waits for a handler that is behind."""
    heard: list[Any] = []
    may_go_on, is_called = threading.Event(), threading.Event()

    def slow(event: dict[str, Any]) -> None:
        is_called.set()
        may_go_on.wait()
        heard.append(event)

    async def main() -> None:
        async with Hooks("r", [Hook("on[0]", frozenset(EVENTS), slow)]) as hooks:
            hooks.state_changed(DRAINING)
            await asyncio.to_thread(is_called.wait)
            for _ in range(MOST_WAITING + 7):
                hooks.state_changed(DRAINING)
            may_go_on.set()

    asyncio.run(main())
    assert len(heard) == 1 + MOST_WAITING
    assert caplog.messages == ["on[0]: 7 events were dropped, 1000 waited already"]


def test_failed_records_are_ten_a_second_at_most(caplog: pytest.LogCaptureFixture) -> None:
    """The next one says how many were left out, and the end what nobody said."""
    heard: list[Any] = []
    tell(heard.append, *[FAILED] * 5_000)
    told = len(heard)
    left_out = sum(each["left_out"] for each in heard)
    said = [int(each.split()[1]) for each in caplog.messages]
    assert told + left_out + sum(said) == 5_000
    assert told <= 30  # the machine may be so slow that it takes more than a second


def test_a_handler_that_raises_is_told_once_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    """SystemExit, too, which would end a process."""

    def exits(event: dict[str, Any]) -> None:
        raise SystemExit(3)

    async def raises(event: dict[str, Any]) -> None:
        raise ValueError("no")

    tell(exits, *[DRAINING] * 3)
    tell(raises, DRAINING)
    assert caplog.messages == [
        "on[0] failed at draining: SystemExit: 3",
        "on[0] failed 3 times",
        "on[0] failed at draining: ValueError: no",
    ]


async def cancels_itself(event: dict[str, Any]) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(60)


def raising(error: BaseException, *, is_coroutine: bool) -> Any:
    def plain(event: dict[str, Any]) -> None:
        raise error

    async def coroutine(event: dict[str, Any]) -> None:
        raise error

    return coroutine if is_coroutine else plain


@pytest.mark.parametrize("in_run_loop", [False, True])
@pytest.mark.parametrize(
    ("handle", "said"),
    [
        (raising(SystemExit(3), is_coroutine=True), "SystemExit: 3"),
        (raising(KeyboardInterrupt(), is_coroutine=True), "KeyboardInterrupt"),
        (raising(asyncio.CancelledError(), is_coroutine=True), "it cancelled itself"),
        (raising(StopIteration(), is_coroutine=False), "StopIteration"),
        (cancels_itself, "it cancelled itself"),
    ],
)
def test_what_would_end_a_loop_ends_one_call_of_a_handler(
    handle: Any, said: str, in_run_loop: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The next event is handled, and the run knows nothing of it."""

    async def main() -> None:
        hook = Hook("on[0]", frozenset(EVENTS), handle, in_run_loop=in_run_loop)
        async with Hooks("r", [hook]) as hooks:
            for _ in range(3):
                hooks.state_changed(DRAINING)

    asyncio.run(main())
    assert caplog.messages == [f"on[0] failed at draining: {said}", "on[0] failed 3 times"]


def test_a_coroutine_that_a_plain_function_returns_is_awaited() -> None:
    heard: list[str] = []

    async def hear(event: dict[str, Any]) -> None:
        heard.append(event["event"])

    tell(lambda event: hear(event | {"event": "drained"}), DRAINING)
    assert heard == ["drained"]


def test_each_has_a_copy() -> None:
    """What one does with its dict is not seen by another."""
    heard: list[Any] = []

    async def main() -> None:
        lines = [
            Hook("a", frozenset(EVENTS), dict.clear),
            Hook("b", frozenset(EVENTS), lambda event: event["stages"].clear()),
            Hook("c", frozenset(EVENTS), heard.append),
        ]
        async with Hooks("r", lines) as hooks:
            hooks.state_changed(DRAINING)
            hooks.state_changed(RunEnded(0, None, {"stages": {"s": {}}}))

    asyncio.run(main())
    assert (heard[0]["records"], heard[1]["stages"]) == (3, {"s": {}})
