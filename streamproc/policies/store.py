"""Where answers are kept: in memory, or in a SQLite file that runs and workers share."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Protocol

from streamproc.errors import CreateError

if TYPE_CHECKING:
    import sqlite3

_OVERHEAD_BYTES = 200  # of an entry in memory, besides its key and value


Kept = tuple[bytes, float]
"""An answer as JSON bytes (b"" for nothing), and until when it is good (epoch s).

A plain tuple: the garbage collector does not look at it again and again.
"""


class Store(Protocol):
    """Keys are digests. Nothing here waits long enough to be async."""

    def open(self) -> None:
        """Raises `CreateError`."""

    def close(self) -> None:
        """Needed no more."""

    def get(self, key: bytes) -> Kept | None:
        """What is kept, also when it is no longer good."""

    def put(self, key: bytes, kept: Kept) -> None:
        """Keep it. Raises `CreateError` if the store broke."""


class MemoryStore:
    """Least recently used entries go first."""

    def __init__(self, max_entries: int, max_bytes: int) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._entries: OrderedDict[bytes, Kept] = OrderedDict()
        self._bytes = 0

    def open(self) -> None:
        """Nothing to open."""

    def close(self) -> None:
        """Forget all."""
        self._entries.clear()
        self._bytes = 0

    def get(self, key: bytes) -> Kept | None:
        """See `Store`."""
        kept = self._entries.get(key)
        if kept is not None:
            self._entries.move_to_end(key)
        return kept

    def put(self, key: bytes, kept: Kept) -> None:
        """See `Store`."""
        entries = self._entries
        size = len(key) + len(kept[0]) + _OVERHEAD_BYTES
        if size > self._max_bytes:
            return
        if key in entries:
            self._bytes -= len(key) + len(entries.pop(key)[0]) + _OVERHEAD_BYTES
        entries[key] = kept
        self._bytes += size
        while self._bytes > self._max_bytes or len(entries) > self._max_entries:
            oldest, dropped = entries.popitem(last=False)
            self._bytes -= len(oldest) + len(dropped[0]) + _OVERHEAD_BYTES


class SqliteStore:
    """One table in a file. An answer that was put is there after a `kill -9`, too.

    The write-ahead log without an fsync per commit loses nothing when a process dies; when
    the machine dies, the last answers may have to be asked for again.
    """

    def __init__(self, path: str, *, keeps_expired: bool) -> None:
        self._path = path
        self._keeps_expired = keeps_expired
        self._database: sqlite3.Connection | None = None

    def open(self) -> None:
        """See `Store`."""
        import sqlite3

        try:
            self._database = sqlite3.connect(self._path, timeout=30.0, isolation_level=None)
            self._database.executescript(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
                "CREATE TABLE IF NOT EXISTS answers"
                " (key BLOB PRIMARY KEY, value BLOB NOT NULL, expires_s REAL NOT NULL)"
                " WITHOUT ROWID;"
            )
            if not self._keeps_expired:
                self._database.execute("DELETE FROM answers WHERE expires_s < ?", (time.time(),))
        except sqlite3.Error as error:
            raise CreateError(f"{self._path}: cannot be used as a cache: {error}") from error

    def close(self) -> None:
        """See `Store`."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def get(self, key: bytes) -> Kept | None:
        """See `Store`."""
        assert self._database is not None
        query = "SELECT value, expires_s FROM answers WHERE key = ?"
        row = self._run(query, (key,)).fetchone()
        return (row[0], row[1]) if row is not None else None

    def put(self, key: bytes, kept: Kept) -> None:
        """See `Store`."""
        self._run("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", (key, *kept))

    def _run(self, statement: str, values: tuple[object, ...]) -> sqlite3.Cursor:
        import sqlite3

        assert self._database is not None
        try:
            return self._database.execute(statement, values)
        except sqlite3.Error as error:
            raise CreateError(f"{self._path}: the cache failed: {error}") from error
