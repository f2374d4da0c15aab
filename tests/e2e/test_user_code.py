"""User code that misbehaves outside of its calls, and what it is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import records, summary

pytestmark = pytest.mark.forked

CLASSES = """
class Create:
    def __init__(self):
        raise ValueError("no key")
    def __call__(self, record): ...

class Needs:
    def __init__(self, key): ...
    def __call__(self, record): ...

class Enter:
    async def __aenter__(self):
        raise OSError("no model")
    async def __aexit__(self, *error): ...
    async def __call__(self, record): ...

class EnterAndExit:
    async def __aenter__(self):
        raise SystemExit
    async def __aexit__(self, *error): ...
    async def __call__(self, record): ...

class CreateAndExit:
    def __init__(self):
        raise SystemExit("no key")
    def __call__(self, record): ...

class LeaveAndExit:
    def __enter__(self):
        return self
    def __exit__(self, *error):
        raise SystemExit
    def __call__(self, record): ...

class LeaveAndCancel(LeaveAndExit):
    def __exit__(self, *error):
        import asyncio
        raise asyncio.CancelledError

class LeaveAndInterrupt(LeaveAndExit):
    def __exit__(self, *error):
        raise KeyboardInterrupt

class Leave:
    async def __aenter__(self):
        return self
    async def __aexit__(self, *error):
        raise OSError("cannot save")
    async def __call__(self, record): ...

def exits(record):
    raise SystemExit(3)
"""


@pytest.fixture
def classes(folder: Path) -> None:
    (folder / "classes.py").write_text(CLASSES)


@pytest.mark.usefixtures("classes")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Create", b"ValueError: no key"),
        ("Needs", b"missing a required argument: 'key'; give key a default, or options"),
        ("Enter", b"OSError: no model"),
        ("EnterAndExit", b"SystemExit"),
        ("CreateAndExit", b"SystemExit: no key"),
    ],
)
def test_class_that_cannot_begin(run: Any, folder: Path, name: str, message: bytes) -> None:
    """A class that cannot be created or entered is 78 with one line, and nothing is written."""
    (folder / "out").write_bytes(b"precious")
    done = run("-e", f"classes.py:{name}", "-o", "out", stdin=b"{}\n")
    assert done.returncode == 78
    assert message in done.stderr
    assert name.encode() in done.stderr
    assert done.stderr.count(b"\n") == 1
    assert (folder / "out").read_bytes() == b"precious"


@pytest.mark.usefixtures("classes")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Leave", b"OSError: cannot save"),
        ("LeaveAndExit", b"SystemExit"),
        ("LeaveAndCancel", b"CancelledError"),
        ("LeaveAndInterrupt", b"KeyboardInterrupt"),
    ],
)
def test_class_that_cannot_be_left(run: Any, name: str, message: bytes) -> None:
    """When leaving a class fails, all records are written, the account stands, and it is 78."""
    done = run("-e", f"classes.py:{name}", "--summary", "json", stdin=b'{"a":1}\n')
    assert done.stdout == b'{"a":1}\n'
    account = summary(done.stderr)
    assert (done.returncode, account["exit_code"], account["ok"]) == (78, 78, 1)
    assert message in done.stderr
    assert done.stderr.count(b"\n") == 2


@pytest.mark.usefixtures("classes")
def test_user_code_cannot_end_the_process(run: Any) -> None:
    """`sys.exit` in a stage fails its record, not the run."""
    done = run("-e", "classes.py:exits", stdin=b"{}\n{}\n")
    assert done.returncode == 3
    assert [r["_error"]["kind"] for r in records(done.stdout)] == ["exception"] * 2


def test_modules_next_to_us(run: Any, folder: Path) -> None:
    """The current directory is importable, and so are a stage file's neighbours."""
    (folder / "sub").mkdir()
    (folder / "sub" / "near.py").write_text("N = 7\n")
    (folder / "sub" / "far.py").write_text("import near\ndef f(record): return {'n': near.N}\n")
    assert run("-e", "stages:plain", stdin=b"{}\n").stdout == b'{"ok":true}\n'
    assert run("-e", "sub/far.py:f", stdin=b"{}\n").stdout == b'{"n":7}\n'


def test_import_that_prints(run: Any, folder: Path) -> None:
    """What a module prints while it is imported is not data either."""
    (folder / "loud.py").write_text("print('noise')\ndef f(record): ...\n")
    done = run("-e", "loud.py:f", stdin=b"{}\n")
    assert (done.stdout, done.stderr) == (b"{}\n", b"noise\n")


def test_a_blocking_def_is_named_once(run: Any) -> None:
    """A plain def that keeps the loop busy is said once, with its name and a way out."""
    done = run("-e", "stages.py:nap", stdin=b'{"s":0.3}\n' * 3)
    assert done.returncode == 0
    assert done.stderr.count(b"stage nap kept the event loop busy") == 1
    assert b"blocking=True" in done.stderr


def test_a_long_record_is_not_its_fault(run: Any, folder: Path) -> None:
    """The loop waits for a long record to be decoded, whatever the stage does."""
    (folder / "fast.py").write_text("async def fast(record): return {'n': 1}\n")
    item = b'{"id":123456,"name":"abcdefgh","city":"Berlin"},'
    done = run("-e", "fast.py:fast", stdin=b'{"a":[%b{}]}\n' % (item * 200_000))
    assert done.returncode == 0
    assert b"stage fast" not in done.stderr


def test_of_several_the_busy_one_is_named(run: Any, folder: Path) -> None:
    """Whoever only waits is not; who is `async def` and blocks is told to await."""
    (folder / "both.py").write_text(
        "import asyncio, time\n"
        # it is at work, in its own time: to Linux a thread that sleeps on a busy machine may seem
        # to wait for a processor, which is not the stage's fault
        "def work():\n"
        "    until_s = time.thread_time() + 0.5\n"
        "    while time.thread_time() < until_s: ...\n"
        "async def calm(record): await asyncio.sleep(0.1)\n"
        "def nap(record): work()\n"
        "async def sticky(record): work()\n"
    )
    for names in (("calm", "nap"), ("nap", "calm")):
        specs = [each for name in names for each in ("-e", f"both.py:{name}")]
        done = run(*specs, stdin=b"{}\n")
        assert done.stderr.startswith(b"streamproc: warning: stage nap kept the event loop busy")
        assert b"or make it `async def`" in done.stderr
    done = run("-e", "both.py:sticky", stdin=b"{}\n")
    assert b"stage sticky kept" in done.stderr
    assert b"await what takes long" in done.stderr
