"""The hint that there are more cores."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from types import SimpleNamespace

import pytest

from streamproc.telemetry import one_core


def hints(monkeypatch: pytest.MonkeyPatch, shares: Iterable[float]) -> list[int]:
    """After how many seconds it was said, when of each one so much was CPU time."""
    seconds, cpu_s, said = 0, 0.0, []
    ended = asyncio.Event()

    def clocks() -> Iterator[tuple[int, float]]:
        nonlocal seconds, cpu_s
        yield seconds, cpu_s
        for share in shares:
            seconds, cpu_s = seconds + 1, cpu_s + share
            yield seconds, cpu_s
        ended.set()
        while True:
            yield seconds + 1, cpu_s

    ticking = clocks()

    def monotonic() -> int:
        return next(ticking)[0]

    clock = SimpleNamespace(monotonic=monotonic, process_time=lambda: cpu_s)
    monkeypatch.setattr(one_core, "time", clock)
    monkeypatch.setattr(one_core, "_EVERY_S", 0)

    async def look() -> None:
        watch = one_core.OneCore(lambda: (said.append(seconds), ended.set()))
        watch.start()
        await ended.wait()
        watch.close()

    asyncio.run(look())
    return said


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        ([1.0] * 20, [5]),
        ([0.3] * 7 + [0.95] * 20, [12]),
        ([1.0] * 4, []),
        ([1.0, 1.0, 1.0, 1.0, 0.5] * 4, []),  # it waits for others
        ([2.0] * 20, []),  # its threads have found the other core
    ],
)
def test_when_it_is_said(
    monkeypatch: pytest.MonkeyPatch, shares: list[float], said: list[int]
) -> None:
    """Once, after five seconds on end in which one core was busy."""
    assert hints(monkeypatch, shares) == said
