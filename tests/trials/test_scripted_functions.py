"""Python stages in `streamproc test`: their own code, or answers."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.forked
MINE = """
import asyncio, threading, time
import streamproc

def score(record):
    print("noise")
    return {"score": record["n"] + 1}

async def slow(record):
    await asyncio.sleep(20)
    return await asyncio.to_thread(lambda: {"slow": threading.current_thread().name != "x"})

@streamproc.enricher(blocking=True)
def blocking(record):
    time.sleep(0.01)
    return {"is_run": 1}

@streamproc.enricher(batch=10)
async def listed(records):
    raise SystemExit("not for tests")

@streamproc.transform
def changed(record):
    raise SystemExit("not for tests")

async def paid(record):
    raise SystemExit("not for tests")

class Model:
    def __enter__(self):
        self.factor = 2
        return self
    def __exit__(self, *error):
        return None
    def __call__(self, record):
        return {"model": record["n"] * self.factor}

async def child(record):
    process = await asyncio.create_subprocess_exec(
        "sh", "-c", "echo 1; exec >&-; sleep 0.1", stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    return {"child": int(out)}
"""


INPUT = "input = [{n = 1}, {n = 2}, {n = 3}]"


@pytest.fixture
def check(run: Any, folder: Path) -> Any:
    """Runs tests: the name of a function in mine.py, and what its test has beside the input."""
    (folder / "mine.py").write_text(MINE)

    def run_tests(*tests: tuple[str, str], more: str = "") -> subprocess.CompletedProcess[bytes]:
        text = ""
        for name, rest in tests:
            stage = f'[[stage]]\nname = "{name}"\ninto = "."\npython = "mine.py:{name}"\n{more}\n'
            (folder / f"{name}.toml").write_text(stage)
            text += f'[[test]]\nname = "{name}"\npipeline = "{name}.toml"\n{INPUT}\n{rest}\n'
        (folder / "t.toml").write_text(text)
        done: subprocess.CompletedProcess[bytes] = run("test", "t.toml")
        assert b"Traceback" not in done.stderr
        return done

    return run_tests


def test_without_answers_its_code_is_called(check: Any) -> None:
    """Inline, awaited, in threads, with a life of its own; threads and children take real time.

    What it prints is no part of the report.
    """
    done = check(
        ("score", "expect = [{n = 1, score = 2}, {n = 2, score = 3}, {n = 3, score = 4}]"),
        ("slow", "expect = [{n = 1, slow = true}, {n = 2, slow = true}, {n = 3, slow = true}]"),
        ("blocking", "expect = [{n = 1, is_run = 1}, {n = 2, is_run = 1}, {n = 3, is_run = 1}]"),
        ("Model", "expect = [{n = 1, model = 2}, {n = 2, model = 4}, {n = 3, model = 6}]"),
        ("child", "expect = [{n = 1, child = 1}, {n = 2, child = 1}, {n = 3, child = 1}]"),
    )
    assert (done.returncode, done.stdout.decode().splitlines()[-1]) == (0, "5 passed"), done
    assert (b"noise" in done.stderr, b"noise" in done.stdout) == (True, False)


def test_answers_come_in_its_place(check: Any) -> None:
    """As the function would have returned them: lists, what replaces a record, errors."""
    done = check(
        (
            "paid",
            """answers.paid = [{json = {a = 1}}, {when = "n == `2`"}, {json = {a = 3}}]
            expect = [{n = 1, a = 1}, {n = 2}, {n = 3, a = 3}]
            expect_calls = { paid = 3 }""",
        ),
        (
            "listed",
            """answers.listed = [{when = "n == `2`", json = {a = 2}}, {json = {a = 0}}]
            expect = [{n = 1, a = 0}, {n = 2, a = 2}, {n = 3, a = 0}]
            expect_calls = { listed = 3 }""",
        ),
        (
            "changed",
            """answers.changed = [{when = "n == `2`"}, {json = [{a = 1}, {a = 2}]}]
            expect = [{a = 1}, {a = 2}, {a = 1}, {a = 2}]""",
        ),
        (
            "paid",
            """answers.paid = [{error = "ValueError: no"}, {error = "timeout"}]
            expect = [{n = 1, _error = {kind = "exception", message = "ValueError: no"}},
                      {n = 2, _error = {kind = "timeout"}}, {n = 3, _error = {}}]""",
        ),
    )
    assert (done.returncode, done.stdout.decode().splitlines()[-1]) == (0, "4 passed"), done


def test_retries_of_functions_are_real(check: Any) -> None:
    """`streamproc.Retry` and what Python calls a timeout are tried again."""
    text = """
answers.paid = [ {error = "Retry: later"}, {error = "TimeoutError"}, {json = {a = 1}} ]
expect = [ {n = 1, a = 1}, {n = 2, a = 1}, {n = 3, a = 1} ]
expect_calls = { paid = 5 }
"""
    done = check(("paid", text), more="retry = {}")
    assert (done.returncode, b"1 passed" in done.stdout) == (0, True), done


def test_what_is_no_answer_of_a_function(check: Any) -> None:
    """It is said before anything runs."""
    done = check(
        ("paid", "answers.paid = [{status = 404}]"),
        ("paid", "answers.paid = [{error = 'Nope'}]"),
        ("paid", "expect_calls = {paid = 1}"),
    )
    said = done.stderr.decode().splitlines()
    assert (done.returncode, done.stdout, len(said)) == (78, b"", 3)
    assert "t.toml:5: test 'paid': answers.paid[0]: status, headers and body are for" in said[0]
    assert "t.toml:10: test 'paid': answers.paid[0]: error: expected timeout or an" in said[1]
    assert "t.toml:15: test 'paid': expect_calls.paid: its own code is called" in said[2]
