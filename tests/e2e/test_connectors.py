"""Connectors: `tests/plugin` brings `sqlite://`, of which the house knows nothing."""

import json
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from streamproc import Pipeline
from tests.conftest import PATIENCE_S, install_other, summary

pytestmark = pytest.mark.forked
Run = Callable[..., subprocess.CompletedProcess[bytes]]

RECORDS = 600
SOURCE, SINK, DEAD = ("sqlite://" + each for each in ("in.db?table=leads", "out.db?table=done",
                                                      "out.db?table=dead"))  # fmt: skip
STAGE = """
import asyncio, os

LIMIT = int(os.environ.get("LIMIT", "1000000"))

async def slow(record):
    await asyncio.sleep(0.004 if record["n"] % 7 else 0.03)
    if record["n"] > LIMIT:
        await asyncio.Event().wait()
    if record["n"] % 97 == 0:
        raise ValueError("every 97th")
    return {"twice": record["n"] * 2}
"""


@pytest.fixture
def folder(folder: Path) -> Path:
    (folder / "work.py").write_text(STAGE)
    with closing(sqlite3.connect(folder / "in.db")) as db, db:
        db.execute("CREATE TABLE leads (record TEXT)")
        db.executemany(
            "INSERT INTO leads (rowid, record) VALUES (?, ?)",
            # rowids have gaps, and records may be on several lines
            ((3 * n, f'{{"n":\n{n}}}') for n in range(1, RECORDS + 1)),
        )
    return folder


def rows(folder: Path, table: str, file: str = "out.db") -> list[dict[str, Any]]:
    return [json.loads(text) for (text,) in asked(folder, f"SELECT record FROM {table}", file)]


def asked(folder: Path, query: str, file: str = "out.db") -> list[tuple[Any, ...]]:
    if not (folder / file).exists():
        return []
    with closing(sqlite3.connect(folder / file, timeout=30)) as db:
        try:
            return db.execute(query).fetchall()
        except sqlite3.OperationalError:  # there is no such table yet
            return []


def last_row(folder: Path) -> int:
    found = asked(folder, "SELECT max(rowid) FROM done")
    return (found[0][0] or 0) if found else 0


@pytest.mark.parametrize("more", [(), ("-w", "2"), ("--unordered",)], ids=" ".join)
def test_exactly_once_though_it_is_killed(
    run: Run, start: Any, folder: Path, more: tuple[str, ...]
) -> None:
    """kill -9 while rows are written that are in no checkpoint: none is missing, none is double."""
    command = (
        SOURCE, "-e", "work.py:slow", "-o", SINK, "-j", "16", "--on-error", "dead-letter",
        "--dead-letter", DEAD, "--checkpoint", "c", "--resume", "--log-level", "error",
    )  # fmt: skip
    for least, limit in ((1, 200), (150, 300), (350, 500)):
        process = start(*command, *more, env={"LIMIT": str(limit)})
        until_s = time.monotonic() + PATIENCE_S
        while last_row(folder) < least:
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < until_s
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        with closing(sqlite3.connect(folder / "out.db", timeout=30)) as db, db:
            for table in ("done", "dead"):  # as if it had come one row further
                db.execute(f"INSERT INTO {table} (record) VALUES ('{{\"n\":-1}}')")
    done = run(*command, *more, "--summary", "json")
    assert done.returncode == 3, done.stderr
    assert summary(done.stderr)["received"] == RECORDS

    numbers = range(1, RECORDS + 1)
    out, dead = rows(folder, "done"), rows(folder, "dead")
    letters = [json.loads(each["raw"])["n"] for each in dead]
    if "--unordered" in more:
        out.sort(key=lambda record: int(record["n"]))
        letters.sort()
    assert out == [{"n": n, "twice": 2 * n} for n in numbers if n % 97]
    assert letters == [n for n in numbers if n % 97 == 0]


def test_a_table_of_the_pipeline_file_is_the_same(run: Run, folder: Path) -> None:
    (folder / "p.toml").write_text(
        'source = { sqlite = { path = "in.db", table = "leads" } }\n'
        'sink = { sqlite = { path = "out.db", table = "done" } }\n'
        '[[stage]]\nbuiltin = "none"\n'
    )
    checked = run("check", "p.toml")
    assert checked.returncode == 0, checked.stderr
    assert b'source = { sqlite = { path = "in.db", table = "leads" } }' in checked.stdout
    done = run("-c", "p.toml", "-w", "2")
    assert (done.returncode, done.stdout) == (0, b""), done.stderr
    assert rows(folder, "done") == [{"n": n} for n in range(1, RECORDS + 1)]


def test_python_code_names_them_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert Pipeline(["none"]).run_sync(SOURCE, SINK).ok == RECORDS
    assert len(rows(folder, "done")) == RECORDS


def test_what_others_add_after_the_run_stays(run: Run, folder: Path) -> None:
    command = (SOURCE, "-e", "none", "-o", SINK, "--checkpoint", "c", "--resume")
    assert run(*command).returncode == 0
    for file, table in (("out.db", "done"), ("in.db", "leads")):
        with closing(sqlite3.connect(folder / file)) as db, db:
            db.execute(f"INSERT INTO {table} (record) VALUES (?)", ('{"n":0}',))
    assert run(*command).returncode == 0
    assert [record["n"] for record in rows(folder, "done")][-3:] == [RECORDS, 0, 0]


@pytest.mark.parametrize(
    ("file", "edit", "said"),
    [
        ("in.db", "UPDATE leads SET record = '{}' WHERE rowid = 1800", b"1800 of sqlite://in.db"),
        ("in.db", "DELETE FROM leads WHERE rowid = 1800", b"the row 1800 of sqlite://in.db"),
        ("out.db", "UPDATE done SET record = '{}' WHERE rowid = 600", b"600 of sqlite://out.db"),
        ("out.db", "DROP TABLE done", b"the row 600 of sqlite://out.db"),
    ],
)
def test_an_end_that_does_not_fit_is_refused(
    run: Run, folder: Path, file: str, edit: str, said: bytes
) -> None:
    """All ends are asked before any is touched."""
    command = (SOURCE, "-e", "none", "-o", SINK, "--checkpoint", "c", "--resume")
    assert run(*command).returncode == 0
    with closing(sqlite3.connect(folder / file)) as db, db:
        db.execute(edit)
        if file == "in.db":
            db.execute("INSERT INTO leads (record) VALUES ('{\"n\":0}')")
    before = asked(folder, "SELECT rowid, record FROM done"), (folder / "c").read_bytes()
    done = run(*command)
    assert done.returncode == 65, done.stderr
    assert said in done.stderr
    assert (asked(folder, "SELECT rowid, record FROM done"), (folder / "c").read_bytes()) == before


def test_positions_of_another_kind_are_refused(run: Run, folder: Path) -> None:
    """A checkpoint that was kept beside a file is none for a table, and the other way round."""
    more = ("-e", "none", "--checkpoint", "c", "--resume")
    assert run(SOURCE, "-o", "out.jsonl", *more).returncode == 0
    done = run(SOURCE, "-o", SINK, *more)
    assert (done.returncode, b"table=done is of another kind" in done.stderr) == (65, True)
    (folder / "in.jsonl").write_bytes(b"{}\n")
    done = run("in.jsonl", "-o", "out.jsonl", *more)
    assert (done.returncode, b"the input is of another kind" in done.stderr) == (65, True)


def test_rows_without_their_checkpoint_are_refused(run: Run, folder: Path) -> None:
    assert run(SOURCE, "-e", "none", "-o", SINK).returncode == 0
    done = run(SOURCE, "-e", "none", "-o", SINK, "--checkpoint", "c", "--resume")
    assert (done.returncode, b"done has data" in done.stderr) == (65, True), done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("sqlit://in.db?table=leads",), 2, b"sqlit://, did you mean sqlite?"),
        (("sqlite://in.db?tabel=leads",), 78, b"source.sqlite.tabel: unknown key, did you mean"),
        (("sqlite://in.db",), 78, b"source.sqlite: table is missing"),
        (("sqlite://in.db?table=a-b",), 78, b"source.sqlite.table"),
        ((SOURCE, "in.jsonl"), 2, b"an SQLite table is the only INPUT; sqlite://FILE?table=TABLE"),
        ((SOURCE, "-o", SOURCE), 78, b"sink.sqlite.table: what is read from it"),
        (("sqlite://nowhere.db?table=leads",), 66, b"cannot open nowhere.db"),
        (("sqlite://in.db?table=nothing",), 66, b"no such table: nothing"),
        ((SOURCE, "-o", "sqlite://no/such.db?table=t"), 73, b"cannot create sqlite://no/such.db"),
        ((SOURCE, "--stop-at-end"), 2, b"--stop-at-end is for a Kafka topic"),
    ],
)
def test_mistakes_are_told(run: Run, arguments: tuple[str, ...], code: int, said: bytes) -> None:
    done = run(*arguments, "-e", "none")
    assert (done.returncode, done.stdout) == (code, b""), done.stderr
    assert said in done.stderr


def test_an_address_in_the_pipeline_file_is_a_table_there(run: Run, folder: Path) -> None:
    (folder / "p.toml").write_text('output = "sqlite://out.db?table=done"\n')
    done = run("check", "p.toml")
    assert done.returncode == 78
    assert b"output: an address is for the command line; here it is a table, sink.sqlite" in (
        done.stderr
    )


def test_the_schema_and_the_help_have_it(run: Run) -> None:
    schema = json.loads(run("schema").stdout)["$defs"]
    assert schema["SourceSettings"]["properties"].keys() == {"kafka", "sqlite"}
    assert schema["SqliteSink"]["required"] == ["path", "table"]
    assert b"sqlite://FILE?table=TABLE" in run("--help").stdout


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("kafka", "streamproc_example.sqlite:Sqlite", b"kafka: a plugin takes a name that exists"),
        ("sqlite", "streamproc_example.sqlite:Sqlite", b"sqlite: there are two of that name"),
        ("rows", "streamproc_example.sqlite:SqliteSink", b"is no Connector"),
    ],
)
def test_a_connector_that_cannot_be_used_is_told(
    run: Run, folder: Path, name: str, value: str, said: bytes
) -> None:
    """Another distribution, found as one that is installed."""
    install_other(folder, "streamproc.connectors", name, value)
    done = run("schema", env={"PYTHONPATH": str(folder)})
    assert done.returncode == 78, done.stdout
    assert said in done.stderr
