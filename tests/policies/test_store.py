"""Where answers are kept: who may read them, how many there are, and what a key gives away."""

from __future__ import annotations

import os
import random
import sqlite3
import stat
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from streamproc.errors import CreateError
from streamproc.policies.sqlite_store import SqliteStore
from streamproc.policies.store import MemoryStore

MIB = 1 << 20


def opened(path: Path, **limits: Any) -> SqliteStore:
    settings = {"max_entries": 1000, "max_bytes": MIB, "keeps_expired": False} | limits
    store = SqliteStore(str(path), **settings)
    store.open()
    return store


def digest(n: int) -> bytes:
    return n.to_bytes(32, "big")


def kept(store: SqliteStore | MemoryStore, most: int) -> list[int]:
    return [n for n in range(most) if store.get(store.key(digest(n))) is not None]


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("open_umask")
def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    with closing(opened(tmp_path / "c.db")) as store:
        store.put(store.key(b"x" * 32), (b"1", time.time() + 9))
        modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in tmp_path.iterdir()}
    assert modes == dict.fromkeys(["c.db", "c.db-wal", "c.db-shm", "c.db.key"], 0o600)


def test_a_key_is_a_secret_of_its_file(tmp_path: Path) -> None:
    """Somebody who has the file, and an idea what was asked, cannot try it."""
    keys = set()
    for name in ("a", "b"):
        with closing(opened(tmp_path / name)) as store:
            keys.add(store.key(digest(1)))
        with closing(opened(tmp_path / name)) as store:
            keys.add(store.key(digest(1)))
    assert len({*keys, digest(1)}) == 3


def test_all_who_open_it_at_once_have_the_same_secret(tmp_path: Path) -> None:
    """And nobody is told that others have it: now and then SQLite does not wait for them."""

    def key(_: int) -> bytes:
        store = opened(tmp_path / "c.db")
        try:
            return store.key(digest(1))
        finally:
            store.close()

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(key, range(24)))) == 1
    assert sorted(each.name for each in tmp_path.iterdir()) == ["c.db", "c.db.key"]


@pytest.mark.parametrize("wrong", ["short", "long", "link", "folder", "pipe"])
def test_a_secret_that_is_none_is_refused(tmp_path: Path, wrong: str) -> None:
    key = tmp_path / "c.db.key"
    if wrong == "link":
        (tmp_path / "elsewhere").write_bytes(b"x" * 32)
        key.symlink_to(tmp_path / "elsewhere")
    elif wrong == "folder":
        key.mkdir()
    elif wrong == "pipe":
        os.mkfifo(key)  # nobody writes it
    else:
        key.write_bytes(b"x" * (31 if wrong == "short" else 33))
    with pytest.raises(CreateError, match=r"c\.db\.key"):
        opened(tmp_path / "c.db")


def test_no_more_entries_than_it_may_have(tmp_path: Path) -> None:
    """Also of two who write into it, and after it was opened with another limit."""
    until_s = time.time() + 1000
    with closing(opened(tmp_path / "c.db")) as one, closing(opened(tmp_path / "c.db")) as two:
        for n in range(300):
            store = (one, two)[n % 2]
            store.put(store.key(digest(n)), (b"%d" % n, until_s))
            store.put(store.key(digest(n)), (b"again", until_s))
        assert len(kept(one, 300)) == 300
    with closing(opened(tmp_path / "c.db", max_entries=10)) as store:
        assert len(kept(store, 300)) == 10
        for n in range(300, 320):
            store.put(store.key(digest(n)), (b"%d" % n, until_s))
            assert len(kept(store, 321)) == 10
        assert kept(store, 320) == list(range(310, 320))


def test_what_was_used_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = time.time()
    monkeypatch.setattr("streamproc.policies.sqlite_store.time.time", lambda: now_s)
    with closing(opened(tmp_path / "c.db", max_entries=3)) as store:
        for n in range(3):
            now_s += 1
            store.put(store.key(digest(n)), (b"", now_s + 1000))
        now_s += 61
        assert store.get(store.key(digest(0))) is not None
        now_s += 1
        store.put(store.key(digest(3)), (b"", now_s + 1000))
        assert kept(store, 4) == [0, 2, 3]


@pytest.mark.parametrize("size", [600, 3000, 20_000, 300_000])
def test_no_more_bytes_than_it_may_have(tmp_path: Path, size: int) -> None:
    """The file as `ls` shows it, its log included, while it is written and afterwards."""
    until_s = time.time() + 1000
    data = random.Random(1).randbytes(size)
    with closing(opened(tmp_path / "c.db", max_entries=10**6)) as store:
        puts = max(2 * MIB // size, 12)
        for n in range(puts):
            store.put(store.key(random.Random(n).randbytes(32)), (data, until_s))
        assert (tmp_path / "c.db").stat().st_size <= MIB + 65536
        assert sum(each.stat().st_size for each in tmp_path.iterdir()) < 2 * MIB + 2 * size
        last = store.key(random.Random(puts - 1).randbytes(32))
        assert store.get(last) is not None
        store.put(store.key(digest(1)), (bytes(2 * MIB), until_s))
        assert store.get(store.key(digest(1))) is None
        assert store.get(last) is not None
    assert (tmp_path / "c.db").stat().st_size <= MIB + 65536


def test_answers_of_earlier_versions_are_gone(tmp_path: Path) -> None:
    """Their keys could be guessed."""
    with closing(sqlite3.connect(tmp_path / "c.db")) as old:
        old.execute("CREATE TABLE answers (key BLOB PRIMARY KEY, value BLOB, expires_s REAL)")
        old.execute("INSERT INTO answers VALUES (x'01', x'02', 9e9)")
        old.commit()
    with closing(opened(tmp_path / "c.db")) as store:
        store.put(store.key(digest(1)), (b"1", 9e9))
    with closing(sqlite3.connect(tmp_path / "c.db")) as file:
        names = [name for (name,) in file.execute("SELECT name FROM sqlite_master")]
    assert "answers" not in names


DAMAGES = [
    "UPDATE kept SET value = 'text'", "UPDATE kept SET value = 7", "UPDATE kept SET used_s = 'x'",
    "UPDATE kept SET expires_s = 'x'",
]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_it_has_not_written_is_not_there(tmp_path: Path, damage: str) -> None:
    """An answer that somebody has damaged is asked for again."""
    with closing(opened(tmp_path / "c.db")) as store:
        for n in range(2):
            store.put(store.key(digest(n)), (b"1", time.time() + 1000))
        run(tmp_path / "c.db", damage)
        assert kept(store, 2) == []
        store.put(store.key(digest(1)), (b"1", time.time() + 1000))
        assert kept(store, 2) == [1]


def test_a_wrong_count_is_put_right(tmp_path: Path) -> None:
    """There is nothing to let go of, however many there are said to be."""
    with closing(opened(tmp_path / "c.db", max_entries=3)) as store:
        run(tmp_path / "c.db", "UPDATE counts SET entries = 1000000")
        for n in range(5):
            store.put(store.key(digest(n)), (b"1", time.time() + 1000))
        assert len(kept(store, 5)) == 3


@pytest.mark.parametrize("count", ["'many'", "NULL"])
def test_a_count_that_is_none_is_refused(tmp_path: Path, count: str) -> None:
    opened(tmp_path / "c.db").close()
    run(
        tmp_path / "c.db", "DROP TABLE counts",
        "CREATE TABLE counts AS SELECT COUNT AS entries".replace("COUNT", count),
    )  # fmt: skip
    with pytest.raises(CreateError, match="its counts are damaged"):
        opened(tmp_path / "c.db")


def run(path: Path, *statements: str) -> None:
    """Somebody else writes into the file."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        for statement in statements:
            database.execute(statement)
