"""Sources and sinks of the house, and of the plugin, keep the same contract."""

import os
import threading
from collections.abc import Sequence

from streamproc.interfaces import Source
from streamproc.sinks.recipes import File, Stdout
from streamproc.sources.iterable import IterableSource
from streamproc.sources.recipes import Files
from streamproc.testing import MemorySource
from streamproc.testing.contracts import (
    ResumableSinkContract,
    ResumableSourceContract,
    SinkContract,
    SourceContract,
)
from tests.plugin.test_sqlite import TestSink as TestSqliteSink
from tests.plugin.test_sqlite import TestSource as TestSqliteSource

__all__ = ["TestSqliteSink", "TestSqliteSource"]


class TestFile(ResumableSourceContract):
    def recipe(self, lines: Sequence[bytes]) -> Files:
        path = self.folder / "in.jsonl"
        path.write_bytes(b"".join(line + b"\n" for line in lines))
        return Files(inputs=(str(path),))


class TestPipe(ResumableSourceContract):
    """A named one: each time the same is piped in again."""

    def recipe(self, lines: Sequence[bytes]) -> Files:
        path = self.folder / "pipe"
        path.unlink(missing_ok=True)
        os.mkfifo(path)

        def feed() -> None:
            try:
                with open(path, "wb") as pipe:
                    pipe.write(b"".join(line + b"\n" for line in lines))
            except BrokenPipeError:  # it was not read to its end
                return

        threading.Thread(target=feed, daemon=True).start()
        return Files(inputs=(str(path),))


class TestMemory(SourceContract):
    def opened(self, lines: Sequence[bytes]) -> Source:
        return MemorySource(lines)


class TestIterable(SourceContract):
    def opened(self, lines: Sequence[bytes]) -> Source:
        return IterableSource(iter(lines))


class TestOutput(ResumableSinkContract):
    def recipe(self) -> File:
        return File(path=str(self.folder / "out.jsonl"))

    def read(self) -> list[bytes]:
        path = self.folder / "out.jsonl"
        return path.read_bytes().splitlines() if path.exists() else []


class TestStdout(ResumableSinkContract):
    """`>> FILE`: the shell opens it anew for each run."""

    def setup_method(self) -> None:
        super().setup_method()
        self.fds: list[int] = []

    def teardown_method(self) -> None:
        for fd in self.fds:
            os.close(fd)
        super().teardown_method()

    def recipe(self) -> Stdout:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self.fds.append(os.open(self.folder / "out.jsonl", flags))
        return Stdout(fd=self.fds[-1])

    def read(self) -> list[bytes]:
        return (self.folder / "out.jsonl").read_bytes().splitlines()


class TestPipedStdout(SinkContract):
    """A reader that takes its time."""

    def setup_method(self) -> None:
        super().setup_method()
        self.out, self.fd = os.pipe()
        self.got = b""
        self.reader = threading.Thread(target=self.take)
        self.reader.start()

    def take(self) -> None:
        while data := os.read(self.out, 1000):
            self.got += data

    def teardown_method(self) -> None:
        if self.reader.is_alive():
            self.read()
        os.close(self.out)
        super().teardown_method()

    def recipe(self) -> Stdout:
        return Stdout(fd=self.fd)

    def read(self) -> list[bytes]:
        os.close(self.fd)
        self.reader.join()
        whole = self.got.split(b"\n")
        return whole[:-1] if not whole[-1] else whole
