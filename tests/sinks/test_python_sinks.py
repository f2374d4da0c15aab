"""Results in Python code: in a list, in a file that is open, in another thread."""

from __future__ import annotations

import asyncio
import io
import threading
from typing import Any

import pytest

from streamproc.errors import OutputError
from streamproc.sinks.python import HandOverSink, ListSink, OpenFileSink


def test_a_list_gets_records() -> None:
    records: list[Any] = ["before"]
    asyncio.run(ListSink(records).write(b'{"n":1}\n{"n":[null]}\n'))
    assert records == ["before", {"n": 1}, {"n": [None]}]


@pytest.mark.parametrize("made", [io.BytesIO, io.StringIO])
def test_an_open_file_gets_bytes_or_text(made: type[Any]) -> None:
    file = made()
    asyncio.run(OpenFileSink(file).write('{"é":1}\n'.encode()))
    assert file.getvalue() == ('{"é":1}\n' if made is io.StringIO else '{"é":1}\n'.encode())


def test_a_file_that_takes_a_little_at_a_time_gets_all() -> None:
    class Slow(io.BytesIO):
        def write(self, data: Any) -> int:
            return super().write(bytes(data[:3]))

    file = Slow()
    asyncio.run(OpenFileSink(file).write(b"0123456789\n"))
    assert file.getvalue() == b"0123456789\n"


def test_a_file_that_is_closed_is_an_output_that_failed() -> None:
    file = io.BytesIO()
    file.close()
    with pytest.raises(OutputError, match="closed file"):
        asyncio.run(OpenFileSink(file).write(b"1\n"))


def test_another_thread_takes_all_lines_in_order_and_hears_of_the_end() -> None:
    sink, got = HandOverSink(), list[bytes]()

    def take() -> None:
        while lines := sink.take():
            got.extend(lines)

    async def main() -> None:
        async with sink:
            for k in range(50):
                await sink.write(b"%d\n%d\n" % (2 * k, 2 * k + 1))
        sink.close()

    taking = threading.Thread(target=take)
    taking.start()
    asyncio.run(main())
    taking.join()
    assert [int(line) for line in got] == list(range(100))
