"""Who is named when the loop was late."""

from __future__ import annotations

import asyncio
import threading
from math import inf
from types import SimpleNamespace
from typing import Any

import pytest

from streamproc.engines import long_records
from streamproc.engines.busy_loop import BusyLoop
from streamproc.engines.long_records import LongRecords


def stage(name: str, mode: str) -> Any:
    observer = SimpleNamespace(counts=SimpleNamespace(total_s=0.0), was_slow=lambda *_: None)
    return SimpleNamespace(
        name=name, is_users=True, enricher=SimpleNamespace(mode=mode), observer=observer
    )


@pytest.mark.parametrize("mode", ["inline", "coroutine"])
def test_decoding_a_long_record_is_no_fault_of_a_stage(
    mode: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The record is named, once; a stage that is slow later is named still."""
    now_s = iter([0.0, 0.3, 1.0, 1.3])
    monkeypatch.setattr(long_records, "perf_counter", lambda: next(now_s))
    records = LongRecords(inf)
    loop = BusyLoop([stage("score", mode)], records)
    for _ in range(2):
        line = b'{"a":"%b"}' % (b"x" * (3 << 20))
        asyncio.run(records.aside(line, records.document, line))
        loop.late(0.4)
    assert [each.getMessage()[:56] for each in caplog.records] == [
        "a record of 3.0 MiB kept the event loop busy for 400 ms,"
    ]
    loop.late(0.4)
    assert caplog.records[1].getMessage().startswith("stage score kept the event loop busy")
    assert len(caplog.records) == 2


def test_what_a_record_took_before_is_no_excuse(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Only the time since the loop was on time last."""
    now_s = iter([0.0, 0.09])
    monkeypatch.setattr(long_records, "perf_counter", lambda: next(now_s))
    records = LongRecords(inf)
    loop = BusyLoop([stage("score", "inline")], records)
    records.outline(b"{}")
    loop.late(0.09)
    loop.late(0.15)
    (told,) = caplog.records
    assert told.getMessage().startswith("stage score kept the event loop busy")


def test_a_record_that_is_still_being_rewritten_is_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Not only when that is over."""
    now_s = iter([0.0, 0.3, 0.4])
    monkeypatch.setattr(long_records, "perf_counter", lambda: next(now_s))
    records = LongRecords(inf)
    loop = BusyLoop([stage("score", "inline")], records)

    async def run() -> None:
        work = asyncio.create_task(records.aside(b"x" * (1 << 20), heard.wait, 60))
        await asyncio.sleep(0)
        loop.late(0.3)
        heard.set()
        await work

    heard = threading.Event()
    asyncio.run(run())
    (told,) = caplog.records
    assert told.getMessage().startswith("a record of 1.0 MiB kept the event loop busy for 300 ms")
