"""After an abort dead letters are written as long as somebody takes them."""

from __future__ import annotations

import asyncio

import pytest

from streamproc.errors import OutputError, UnavailableError
from streamproc.pipeline import dead_letters
from streamproc.pipeline.dead_letters import DeadLetterWriter
from streamproc.testing import MemorySink


class Refusing(MemorySink):
    """Takes so many letters."""

    def __init__(self, takes: int) -> None:
        super().__init__()
        self.takes = takes
        self.asked = 0

    async def write(self, data: bytes) -> None:
        self.asked += 1
        if self.asked > self.takes:
            raise OutputError(self.name, "no space left")
        await super().write(data)


def taken(sink: MemorySink, errors: list[BaseException]) -> list[bool]:
    async def main() -> list[bool]:
        writer = DeadLetterWriter(sink, errors)
        return [await writer.take(b"%d" % n) for n in range(3)]

    return asyncio.run(main())


def test_letters_are_lines() -> None:
    sink, errors = MemorySink(), list[BaseException]()
    assert taken(sink, errors) == [True] * 3
    assert (sink.data, errors) == (b"0\n1\n2\n", [])


def test_after_a_refusal_nobody_is_asked_again() -> None:
    """The disk is full: the run ends with that error, once."""
    sink, errors = Refusing(1), list[BaseException]()
    assert taken(sink, errors) == [True, False, False]
    assert (sink.data, sink.asked) == (b"0\n", 2)
    assert [str(each) for each in errors] == [str(OutputError("memory", "no space left"))]


def test_a_refusal_that_the_writer_met_too_is_one_error() -> None:
    errors: list[BaseException] = [OutputError("stdout", "x"), OutputError("memory", "y")]
    sink = Refusing(0)
    assert taken(sink, errors) == [False] * 3
    assert (sink.asked, len(errors)) == (0, 2)


def test_an_outage_that_the_writer_met_too_is_one_error() -> None:
    class Gone(MemorySink):
        async def write(self, data: bytes) -> None:
            raise UnavailableError("no broker")

    errors: list[BaseException] = [UnavailableError("no broker")]
    assert taken(Gone(), errors) == [False] * 3
    assert len(errors) == 1


def test_a_sink_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent(MemorySink):
        async def write(self, data: bytes) -> None:
            await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(dead_letters, "_TIMEOUT_S", 0.001)
    errors: list[BaseException] = []
    assert taken(Silent(), errors) == [False] * 3
    assert "no answer" in str(errors[0])
