"""Answers in a SQLite file, which runs and workers share.

It does not show what was asked: keys are hashes that take a secret of the file's own, so that
nobody can guess a password, or a record, and compare.
"""

from __future__ import annotations

import logging
import os
import time
from contextlib import closing, suppress
from hashlib import blake2b, sha256
from secrets import token_bytes, token_hex
from typing import TYPE_CHECKING

from streamproc.errors import CreateError
from streamproc.nearest import not_created
from streamproc.policies.store import OVERHEAD_BYTES, Kept

if TYPE_CHECKING:
    import sqlite3

log = logging.getLogger("streamproc")

_SECRET_BYTES = 32
_TOUCHED_S = 60.0  # that an entry was used is written down once a minute: a hit costs no write
_LOCKED_S, _AGAIN_S = 30.0, 0.01  # how long others may have the file, and how often to look
_PAGE_BYTES = 4096
_LEAST_PAGES = 16  # an empty file has five


class SqliteStore:
    """One table in a file. An answer that was put is there after a `kill -9`, too.

    The write-ahead log without an fsync per commit loses nothing when a process dies; when
    the machine dies, the last answers may have to be asked for again. Least recently used
    entries go first, to within a minute. Only its owner may read the file, and the secret
    of its keys, which lies beside it.
    """

    def __init__(self, path: str, *, max_entries: int, max_bytes: int, keeps_expired: bool) -> None:
        self._path = path
        self._max_entries = max_entries
        self._max_pages = max(max_bytes // _PAGE_BYTES, _LEAST_PAGES)
        self._keeps_expired = keeps_expired
        self._secret = b""
        self._database: sqlite3.Connection | None = None
        self._is_broken = False
        self._error: type[Exception] = OSError  # SQLite's, once that is imported

    def open(self) -> None:
        """See `Store`."""
        import sqlite3

        self._error = sqlite3.Error
        self._secret = _secret(f"{self._path}.key")
        try:
            _create(self._path)
            # an absolute path: some others mean something to SQLite
            path = os.path.abspath(self._path)
            self._database = sqlite3.connect(path, timeout=_LOCKED_S, isolation_level=None)
            # a log of a fourth of the file; no table of earlier versions, whose keys had no secret
            _prepare(
                self._database,
                f"PRAGMA page_size = {_PAGE_BYTES}; PRAGMA auto_vacuum = INCREMENTAL;"
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
                f"PRAGMA wal_autocheckpoint = {min(1000, self._max_pages // 4)};"
                f"PRAGMA journal_size_limit = {self._max_pages // 4 * _PAGE_BYTES};"
                f"{_SCHEMA}",
            )
            if not self._keeps_expired:
                self._database.execute("DELETE FROM kept WHERE expires_s < ?", (time.time(),))
            self._make_room()
            self._database.execute("PRAGMA incremental_vacuum").fetchall()
        except (OSError, sqlite3.Error) as error:
            raise CreateError(f"{self._path}: cannot be used as a cache: {error}") from error

    def close(self) -> None:
        """See `Store`."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def key(self, asked: bytes) -> bytes:
        """See `Store`."""
        digest = sha256(asked).digest()
        return blake2b(digest, key=self._secret, digest_size=32).digest()

    def get(self, key: bytes) -> Kept | None:
        """See `Store`."""
        if self._is_broken:
            return None
        try:
            return self._find(key)
        except self._error as error:
            self._give_up(error)
            return None

    def put(self, key: bytes, kept: Kept) -> None:
        """See `Store`."""
        if not self._is_broken:
            try:
                self._write(key, kept)
            except self._error as error:
                self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        """A full disk, a damaged file: the run goes on without, for its answers are paid for."""
        self._is_broken = True
        log.warning("%s: the cache failed, nothing is kept any more: %s", self._path, error)

    def _find(self, key: bytes) -> Kept | None:
        query = "SELECT value, expires_s, used_s FROM kept WHERE key = ?"
        row = self._run(query, (key,)).fetchone()
        if row is None:
            return None
        value, expires_s, used_s = row
        if (type(value), type(expires_s), type(used_s)) != (bytes, float, float):
            return None  # somebody else has written it
        now_s = time.time()
        if not used_s <= now_s < used_s + _TOUCHED_S:
            self._run("UPDATE kept SET used_s = ? WHERE key = ?", (now_s, key))
        return value, expires_s

    def _write(self, key: bytes, kept: Kept) -> None:
        pages = (len(kept[0]) + OVERHEAD_BYTES) // _PAGE_BYTES + 1
        if pages + _LEAST_PAGES // 2 > self._max_pages:
            return
        self._make_room(pages)
        self._run(
            "INSERT INTO kept VALUES (?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET"
            " value = excluded.value, expires_s = excluded.expires_s, used_s = excluded.used_s",
            (key, *kept, time.time()),
        )
        self._make_room()

    def _make_room(self, new_pages: int = 0) -> None:
        """Let the oldest go until the file holds no more than it may, with some new pages."""
        while True:
            entries = self._number("SELECT entries FROM counts")
            pages = self._number("PRAGMA page_count") - self._number("PRAGMA freelist_count")
            over = max(entries - self._max_entries, pages + new_pages - self._max_pages)
            if over <= 0 or not entries:
                return
            # a few: how many pages they had is seen when they are gone
            batch = min(over, max(entries - self._max_entries, 1 + entries // 64))
            gone = self._run(
                "DELETE FROM kept WHERE key IN (SELECT key FROM kept ORDER BY used_s LIMIT ?)",
                (batch,),
            )
            if not gone.rowcount:  # there are not so many: somebody else has written the count
                self._run("UPDATE counts SET entries = (SELECT count(*) FROM kept)", ())
                return

    def _number(self, query: str) -> int:
        row = self._run(query, ()).fetchone()
        if row is None or not isinstance(row[0], int):
            raise self._error("its counts are damaged")
        return row[0]

    def _run(self, statement: str, values: tuple[object, ...]) -> sqlite3.Cursor:
        assert self._database is not None
        return self._database.execute(statement, values)


_SCHEMA = """
BEGIN IMMEDIATE;
DROP TABLE IF EXISTS answers;
CREATE TABLE IF NOT EXISTS kept (key BLOB PRIMARY KEY, value BLOB NOT NULL,
    expires_s REAL NOT NULL, used_s REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS kept_used ON kept (used_s);
CREATE TABLE IF NOT EXISTS counts (entries INTEGER NOT NULL);
INSERT INTO counts SELECT 0 WHERE NOT EXISTS (SELECT * FROM counts);
CREATE TRIGGER IF NOT EXISTS kept_in AFTER INSERT ON kept
    BEGIN UPDATE counts SET entries = entries + 1; END;
CREATE TRIGGER IF NOT EXISTS kept_out AFTER DELETE ON kept
    BEGIN UPDATE counts SET entries = entries - 1; END;
COMMIT;
"""


def _prepare(database: sqlite3.Connection, script: str) -> None:
    """Also while others do: SQLite itself does not wait where a file gets its first log."""
    from sqlite3 import SQLITE_BUSY, OperationalError

    until_s = time.monotonic() + _LOCKED_S
    while True:
        try:
            database.executescript(script)
        except OperationalError as error:
            if error.sqlite_errorcode & 0xFF != SQLITE_BUSY or time.monotonic() >= until_s:
                raise
            database.rollback()
            time.sleep(_AGAIN_S)
        else:
            return


def _create(path: str) -> None:
    """An empty file that is only ours, unless there is one; SQLite's others are made like it."""
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _secret(path: str) -> bytes:
    """What is in `path`; 32 random bytes if there was no such file. Raises `CreateError`.

    It appears as a whole, so that of several who want to make it all have the same.
    """
    try:
        if not os.path.lexists(path):
            own = f"{path}.{token_hex(8)}"
            flags = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_WRONLY
            with open(os.open(own, flags, 0o600), "wb") as file:
                file.write(token_bytes(_SECRET_BYTES))
                file.flush()
                os.fsync(file.fileno())
            try:
                with suppress(FileExistsError):
                    os.link(own, path)
            finally:
                os.unlink(own)
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # it may be a pipe that nobody writes
        with closing(open(os.open(path, flags), "rb")) as file:
            secret = file.read(_SECRET_BYTES + 1) or b""
    except OSError as error:
        said = not_created(error, path)
        raise CreateError(f"{path}: the key of the cache: {said}") from error
    if len(secret) != _SECRET_BYTES:
        raise CreateError(f"{path}: not the key of a cache; remove it, and the cache with it")
    return secret
