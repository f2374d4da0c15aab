"""Where memory is limited, what does not fit is told, and the rest is accounted for."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

from tests.conftest import records, summary

MEMORY_BYTES = 256 << 20
STAGE = "def hoard(record):\n    return {'x': len(bytearray(record['n']))}\n"


def limit() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def test_a_stage_that_takes_too_much(run: Any, folder: Path) -> None:
    """It fails that record only."""
    (folder / "hoard.py").write_text(STAGE)
    lines = b'{"n":1}\n{"n":%d}\n{"n":2}\n' % (2 * MEMORY_BYTES)
    done = run("-e", "hoard.py:hoard", stdin=lines, preexec_fn=limit)
    good, bad, last = records(done.stdout)
    assert (done.returncode, good["x"], last["x"]) == (3, 1, 2)
    assert bad["_error"]["message"] == "MemoryError"


def test_a_line_that_does_not_fit(run: Any, folder: Path) -> None:
    """It is no bug of ours, says the line; what was written before it stands."""
    with open(folder / "in", "wb") as file:
        file.write(b'{"n":1}\n{"n":"')
        file.truncate(2 * MEMORY_BYTES)  # a hole: it takes no room
    arguments = ("-e", "none", "--max-line-bytes", "4GiB", "--max-memory", "4GiB")
    done = run(*arguments, "--summary", "json", "in", preexec_fn=limit)
    assert (done.returncode, records(done.stdout)) == (1, [{"n": 1}])
    assert done.stderr.count(b"\n") == 3, done.stderr
    lowered, told, _ = done.stderr.splitlines()
    assert lowered.startswith(b"streamproc: memory is limited (ulimit -v): ")
    assert lowered.endswith(b" MiB at most instead of 4096")
    assert told.startswith(b"streamproc: out of memory: ")
    assert summary(done.stderr)["ok"] == 1


def test_a_record_that_swells(run: Any, folder: Path) -> None:
    """What its objects take is seen before they are made: it fails, and nothing else does."""
    (folder / "count.py").write_text("def count(record): return {'n': len(record['a'])}\n")
    item = b'{"id":123456,"name":"abcdefgh","city":"Berlin"}'
    long = b'{"a":[%b]}' % b",".join([item] * 300_000)
    lines = b'{"a":[1]}\n%b\n{"a":[%b]}\n' % (long, b",".join([item] * 20_000))
    done = run("-e", "count.py:count", stdin=lines, preexec_fn=limit)
    first, bad, last = records(done.stdout)
    assert (done.returncode, first["n"], last["n"]) == (3, 1, 20_000)
    assert (bad["_error"]["kind"], len(bad["a"])) == ("too_long", 300_000)
    assert "(ulimit -v)" in bad["_error"]["message"]
