"""`sqlite://FILE?table=TABLE`: rows with a record each, in the order of their rowid."""

import sqlite3
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import closing
from typing import Annotated, Any, ClassVar, Self
from urllib.parse import quote
from zlib import crc32

from msgspec import Meta, Struct

from streamproc.errors import CreateError, InputError, OutputError
from streamproc.interfaces import (
    Connector,
    Misfit,
    SinkRecipe,
    SinkScope,
    SourceRecipe,
    SourceScope,
)
from streamproc.record import Batch, Cursor
from streamproc.threads import in_thread

ROWS = 500  # read at once

Table = Annotated[str, Meta(pattern="^[A-Za-z_][A-Za-z0-9_]*$")]


class Position(Struct, frozen=True):
    """Behind the row `id`, which has that checksum; `rows` were given up to there."""

    id: int = 0
    crc32: int = 0
    rows: int = 0


class _Rows:
    """A table, entered: its connection."""

    position_type = Position

    def __init__(self, path: str, table: str) -> None:
        self._path, self._table = path, f'"{table}"'
        self.name = f"sqlite://{path}?table={table}"

    async def __aexit__(self, *error: object) -> None:
        self._db.close()

    async def fits(self, position: Position, later: Position | None = None) -> Misfit | None:
        """The row has to be there, and the same: what others did to the table is seen there."""
        row = f"SELECT CAST(record AS BLOB) FROM {self._table} WHERE rowid = ?"
        found = await in_thread(self._asked, row, position.id) if position.id else None
        if crc32(found or b"") == position.crc32:
            return None
        return Misfit(f"the row {position.id} of {self.name} is not the one of the checkpoint")

    def _connect(self, mode: str = "rw") -> sqlite3.Connection:
        where = f"file:{quote(self._path)}?mode={mode}"
        return sqlite3.connect(where, uri=True, timeout=30, check_same_thread=False)

    def _asked(self, query: str, *values: int) -> Any:
        """One value, None where there is no such row, table or file."""
        try:
            with closing(self._connect()) as db:
                row = db.execute(query, values).fetchone()
        except sqlite3.OperationalError:
            return None
        return row and row[0]


class RowSource(_Rows):
    """The rows that there are. Lines are counted, so that a line says which row it is."""

    size_bytes: int | None = None
    lag: int | None = None

    def __init__(self, path: str, table: str, *, is_resumable: bool) -> None:
        super().__init__(path, table)
        self._is_resumable = is_resumable
        self._at = Position()  # of the checkpoint
        self._ahead: deque[tuple[int, int]] = deque()  # rows behind it: id and checksum
        self._read_id = self._read_rows = 0

    async def __aenter__(self) -> Self:
        try:
            self._db = await in_thread(self._connect)
        except sqlite3.Error as error:
            raise InputError(f"cannot open {self._path}: {error}") from error
        return self

    async def receive(self) -> tuple[Batch, None] | None:
        """See `Source`. Who is cancelled has not read anything: what was read comes again."""
        try:
            rows = await in_thread(self._rows_after, self._read_id)
        except sqlite3.Error as error:
            raise InputError(f"cannot read {self.name}: {error}") from error
        if not rows:
            return None
        lines = [(record or b"").replace(b"\n", b" ") for _, record in rows]
        cursor = Cursor(self.name, self._read_rows + 1, self._read_id)
        self._read_id, self._read_rows = rows[-1][0], self._read_rows + len(rows)
        if self._is_resumable:
            self._ahead += [(rowid, crc32(record or b"")) for rowid, record in rows]
        return Batch(0, cursor, lines, sum(map(len, lines)) + len(lines)), None

    def receive_nowait(self) -> None:
        """See `Source`: nothing is kept here."""

    def residue(self) -> None:
        """See `Source`: rows are whole."""

    async def position(self, cursor: Cursor | None) -> Position:
        """See `ResumableSource`."""
        while cursor is not None and self._at.rows < cursor.line - 1:
            self._at = Position(*self._ahead.popleft(), self._at.rows + 1)
        return self._at

    async def rewind(self, position: Position) -> None:
        """See `ResumableSource`."""
        self._at = position
        self._ahead.clear()
        self._read_id, self._read_rows = position.id, position.rows

    def _rows_after(self, rowid: int) -> list[tuple[int, bytes | None]]:
        query = (
            f"SELECT rowid, CAST(record AS BLOB) FROM {self._table} WHERE rowid > ? "
            f"ORDER BY rowid LIMIT {ROWS}"
        )
        return self._db.execute(query, (rowid,)).fetchall()


class RowSink(_Rows):
    """Each write is a transaction, so that a row is there when it counts as written."""

    takes_messages = False
    blocked_s = 0.0

    def __init__(self, path: str, table: str) -> None:
        super().__init__(path, table)
        self.written_bytes = 0
        self.place = Position()

    async def __aenter__(self) -> Self:
        try:
            await in_thread(self._open)
        except sqlite3.Error as error:
            raise CreateError(f"cannot create {self.name}: {error}") from error
        return self

    async def write(self, data: bytes) -> None:
        """See `Sink`."""
        try:
            await in_thread(self._insert, data)
        except sqlite3.Error as error:
            raise OutputError(self.name, str(error)) from error

    async def position(self, place: Position, *, durable: bool) -> Position:
        """See `ResumableSink`: what SQLite has committed is on the disk."""
        return place

    async def added(self, position: Position | None) -> int:
        """See `ResumableSink`."""
        count = f"SELECT count(*) FROM {self._table} WHERE rowid > ?"
        return await in_thread(self._asked, count, position.id if position else 0) or 0

    async def rewind(self, position: Position | None) -> None:
        """See `ResumableSink`."""
        if position is None or not await self.added(position):
            return
        try:
            await in_thread(self._delete, position.id)
        except sqlite3.Error as error:
            raise OutputError(self.name, str(error)) from error

    def _open(self) -> None:
        self._db = self._connect("rwc")
        with self._db:
            self._db.execute(f"CREATE TABLE IF NOT EXISTS {self._table} (record TEXT NOT NULL)")
        self._stand()

    def _insert(self, data: bytes) -> None:
        """In a thread that goes on when the write is cancelled: the count is that of the table."""
        rows = ((line.decode(),) for line in data.split(b"\n")[:-1])
        with self._db:
            self._db.executemany(f"INSERT INTO {self._table} (record) VALUES (?)", rows)
        self.written_bytes += len(data)
        self._stand()

    def _delete(self, rowid: int) -> None:
        with closing(self._connect()) as db, db:
            db.execute(f"DELETE FROM {self._table} WHERE rowid > ?", (rowid,))

    def _stand(self) -> None:
        last = f"SELECT rowid, CAST(record AS BLOB) FROM {self._table} ORDER BY rowid DESC LIMIT 1"
        rowid, record = self._db.execute(last).fetchone() or (0, b"")
        self.place = Position(rowid, crc32(record))


class SqliteSource(SourceRecipe, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table to read."""

    what: ClassVar[str] = "an SQLite table"
    address: ClassVar[str] = "sqlite://FILE?table=TABLE"
    shorthand: ClassVar[str] = "path"

    path: str
    table: Table

    def files_read(self) -> Iterable[tuple[str, str]]:
        """See `Recipe`."""
        yield "the database that is read", self.path

    def opened(self, scope: SourceScope) -> RowSource:
        """See `SourceRecipe`."""
        return RowSource(self.path, self.table, is_resumable=scope.is_resumable)


class SqliteSink(SinkRecipe, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table to add to; it is made if there is none."""

    what: ClassVar[str] = "an SQLite table"
    address: ClassVar[str] = "sqlite://FILE?table=TABLE"
    shorthand: ClassVar[str] = "path"

    path: str
    table: Table

    @classmethod
    def contradictions(cls, table: Mapping[str, Any]) -> Iterable[str]:
        """See `Recipe`."""
        if table.get("source") == table["sink"]:
            yield "table: what is read from it would be added to it, without an end"

    def opened(self, scope: SinkScope) -> RowSink:
        """See `SinkRecipe`."""
        return RowSink(self.path, self.table)


class Sqlite(Connector):
    """What `sqlite://` means."""

    source = SqliteSource
    sink = SqliteSink
