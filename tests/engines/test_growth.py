"""When a run brings workers in that was not told how many to have."""

from __future__ import annotations

import time
from typing import Any

import pytest

from streamproc import Pipeline
from streamproc.assembly import growth
from streamproc.assembly.engines import engine_of
from streamproc.config.load import resolve
from streamproc.engines.growing import GrowingEngine
from streamproc.engines.load import Load
from streamproc.pipeline.credits import CreditLimit

LEADS = {"stage": [{"builtin": "leads"}]}
WEB = {"name": "x", "http": {"url": "http://127.0.0.1:9/{n}"}}


def grows(pipeline: Pipeline) -> bool:
    window, local = CreditLimit(1, 1), pipeline.local_engine()
    settings, stages = pipeline.settings, pipeline._stages
    engine = engine_of(settings, stages, local, lambda count: local, window, 1)
    return isinstance(engine, GrowingEngine)


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "usable_cores", lambda: 2)
    monkeypatch.setattr(growth, "free_memory_bytes", lambda: 1 << 30)


@pytest.mark.parametrize(
    ("table", "may"),
    [
        (LEADS, True),
        ({"stage": [{"filter": "a"}, {"select": "@"}, {"builtin": "leads"}]}, True),
        ({"stage": [{"builtin": "none"}]}, False),  # there is nothing to share
        ({"stage": [{"builtin": "leads"}, {"python": "math:sqrt"}]}, False),
        ({"stage": [{"builtin": "leads"}, WEB]}, False),
        (LEADS | {"workers": 1}, False),
        (LEADS | {"max_errors": 5}, False),
        (LEADS | {"on_error": "stop"}, False),
        (LEADS | {"concurrency": 1}, False),
    ],
)
def test_which_pipelines(table: dict[str, Any], may: bool) -> None:
    """Those of which nobody could tell by the output who did the work."""
    assert grows(Pipeline.from_settings(resolve(table))) is may


def test_not_on_one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes would do what one does."""
    monkeypatch.setattr(growth, "usable_cores", lambda: 1)
    assert not grows(Pipeline.from_settings(resolve(LEADS)))


def test_not_in_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container that has just enough for one process is not filled."""
    monkeypatch.setattr(growth, "free_memory_bytes", lambda: 400 << 20)
    assert not grows(Pipeline.from_settings(resolve(LEADS)))


def test_not_in_somebodys_program() -> None:
    """Python code that wants processes asks for them."""
    assert not grows(Pipeline(["leads"]))


class Clock:
    """CPU time, as it is told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 100.0
        monkeypatch.setattr(time, "thread_time", lambda: self.now_s)

    def batches_until_high(self, cpu_s: float, records: int, n_bytes: int, waited_s: float) -> int:
        """How many batches that take `cpu_s` each it takes; 1,000 are never."""
        load = Load()
        for k in range(1000):
            if load.is_high(records, n_bytes, waited_s):
                return k
            self.now_s += cpu_s
        return 1000


def test_half_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """So much work that never waits for more of it."""
    assert Clock(monkeypatch).batches_until_high(0.02, 100, 26_000, 0.0) in (25, 26)


def test_who_waits_for_input_is_not_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it goes on; with short waits it takes longer."""
    clock = Clock(monkeypatch)
    assert clock.batches_until_high(0.02, 100, 26_000, 0.03) == 1000
    assert 50 <= clock.batches_until_high(0.02, 100, 26_000, 0.01) <= 53


def test_what_is_soon_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """To hand over what takes 2 µs a record, or is long and takes little, gains nothing."""
    clock = Clock(monkeypatch)
    assert clock.batches_until_high(0.002, 1000, 260_000, 0.0) == 1000
    assert clock.batches_until_high(0.0085, 100, 1_000_000, 0.0) == 1000
    assert clock.batches_until_high(0.02, 1000, 260_000, 0.0) == 1000
    assert clock.batches_until_high(0.06, 1000, 260_000, 0.0) < 20


USERS = {"stage": [{"python": "math:sqrt"}]}


@pytest.mark.parametrize(
    ("table", "cores"),
    [
        (USERS, 2),
        (USERS | {"workers": 1}, 1),
        (USERS | {"concurrency": 1}, 1),  # to be refused would be no help
        (LEADS, 1),
        ({"stage": [WEB]}, 1),
    ],
)
def test_whom_more_cores_would_help(table: dict[str, Any], cores: int) -> None:
    """Code of users, of which nobody has said how many processes run it."""
    assert growth.cores_unused(resolve(table)) == cores
