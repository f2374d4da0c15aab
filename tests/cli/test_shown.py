"""What people read: one line for a message, whatever a record or a server puts into it."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.shown import MOST, as_json, one_line
from tests.conftest import records

pytestmark = pytest.mark.forked
NASTY = (
    '\x1b[2J\x1b]0;title\x07\r\n{"received":9}\nstreamproc: all is well\u202etxt\u2066\x9b1m\u2028'
)
UNSAFE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
STAGES = """
import logging

def raises(record):
    raise OSError(record["x"])

def logs(record):
    logging.getLogger("mine").warning("got %s", record["x"])
    try:
        raises(record)
    except OSError:
        logging.getLogger("mine").exception(record["x"])

class Enter:
    async def __aenter__(self):
        raise OSError(open("nasty", newline="").read())
    async def __aexit__(self, *error): ...
    async def __call__(self, record): ...
"""


@pytest.fixture(autouse=True)
def stages(folder: Path) -> None:
    (folder / "talks.py").write_text(STAGES)
    (folder / "nasty").write_text(NASTY, newline="")


def line_of(**record: Any) -> bytes:
    return json.dumps(record).encode() + b"\n"


def lines(stderr: bytes) -> list[str]:
    """Those of stderr, all of which are ours."""
    text = stderr.decode()
    assert UNSAFE.findall(text) == []
    found = text.split("\n")[:-1]
    assert not [line for line in found if line.startswith(('{"received":9', "streamproc: all"))]
    return found


@pytest.mark.parametrize("workers", [(), ("-w", "2")])
def test_text_logs(run: Any, workers: tuple[str, ...]) -> None:
    """Also with tracebacks; what is too long keeps its beginning and its end."""
    args = ("-e", "talks.py:logs", "--log-level", "debug", *workers)
    done = run(*args, stdin=line_of(x=NASTY) + line_of(x="A" * 5000))
    found = lines(done.stderr)
    # of two workers either may be the first
    ours = sorted((each for each in found if each.startswith("streamproc: warning: got")), key=len)
    assert len(ours) == 2
    assert r"\x1b[2J\x1b]0;title\x07\r\n" in ours[0]
    assert r"\u202etxt\u2066\x9b1m\u2028" in ours[0]
    assert [line for line in found if line.startswith("OSError: \\x1b[2J")]
    assert all(line.count("A") <= MOST for line in found)


def test_json_logs(run: Any) -> None:
    """The escapes are JSON's, so that nothing is lost."""
    args = ("-e", "talks.py:logs", "--log-level", "debug", "--log-format", "json")
    done = run(*args, stdin=line_of(x=NASTY) + line_of(x="A" * 5000))
    found = [json.loads(line) for line in lines(done.stderr)]
    assert found[0]["message"] == f"got {NASTY}"
    assert all(line["message"].count("A") <= MOST for line in found)
    assert any("Traceback" in line.get("traceback", "") for line in found)


def test_what_ends_a_run(run: Any, folder: Path) -> None:
    """An error of user code, of a file's name, of the command line: one line each."""
    done = run("-e", "talks.py:Enter", stdin=b"{}\n")
    assert (done.returncode, len(lines(done.stderr))) == (78, 1)
    assert run("-e", "talks.py:Enter", "-w", "2", stdin=b"{}\n").returncode == 78
    assert len(lines(run("-e", "talks.py:Enter", "-w", "2", stdin=b"{}\n").stderr)) == 1
    done = run(f"no\x1b[2J\n{'A' * 50}")
    assert (done.returncode, len(lines(done.stderr))) == (66, 1)
    lines(run("--timeout", NASTY.replace("\0", "")).stderr)
    (folder / "letters\x1b[2J").write_bytes(b"bad \x1b\n")
    done = run("replay", "letters\x1b[2J")
    assert (done.returncode, len(lines(done.stderr))) == (3, 1)


def test_check(run: Any, folder: Path) -> None:
    """The file that it prints means what the file said."""
    (folder / "p.toml").write_text(
        '[[stage]]\nname = "x"\n[stage.http]\nurl = "http://localhost/\u202e"\n'
        'headers = { X-A = "\u202eabc\u2066\u2028" }\n',
        encoding="utf-8",
    )
    done = run("check", "-c", "p.toml")
    assert done.returncode == 0
    assert UNSAFE.findall(done.stdout.decode()) == []
    shown = tomllib.loads(done.stdout.decode())["stage"][0]["http"]
    assert shown["headers"] == {"X-A": "\u202eabc\u2066\u2028"}


def test_data_stays_data(run: Any) -> None:
    """stdout is for programs: `_error.message` has what was said."""
    done = run("-e", "talks.py:raises", stdin=line_of(x=NASTY))
    assert records(done.stdout)[0]["_error"]["message"] == f"OSError: {NASTY}"


@given(st.text(st.characters(codec=None), max_size=2000))
def test_any_text(text: str) -> None:
    """No text does anything but be read."""
    shown = one_line(text)
    assert UNSAFE.findall(shown) == []
    assert "\n" not in shown
    assert len(shown) <= MOST
    document = json.dumps(text, ensure_ascii=False)
    assert UNSAFE.findall(as_json(document)) == []
    assert json.loads(as_json(document)) == text
