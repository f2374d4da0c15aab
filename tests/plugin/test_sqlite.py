"""What every source and every sink keeps, tables too."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing

from streamproc_example.sqlite import SqliteSink, SqliteSource

from streamproc.testing.contracts import ResumableSinkContract, ResumableSourceContract


class TestSource(ResumableSourceContract):
    def recipe(self, lines: Sequence[bytes]) -> SqliteSource:
        path = self.folder / "in.db"
        path.unlink(missing_ok=True)
        with closing(sqlite3.connect(path)) as db, db:
            db.execute("CREATE TABLE t (record TEXT)")
            db.executemany("INSERT INTO t VALUES (?)", ((line.decode(),) for line in lines))
        return SqliteSource(path=str(path), table="t")


class TestSink(ResumableSinkContract):
    def recipe(self) -> SqliteSink:
        return SqliteSink(path=str(self.folder / "out.db"), table="t")

    def read(self) -> list[bytes]:
        with closing(sqlite3.connect(self.folder / "out.db")) as db:
            return [text.encode() for (text,) in db.execute("SELECT record FROM t")]
