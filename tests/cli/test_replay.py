"""`streamproc replay`: the original lines of failed records, byte for byte."""

import subprocess
import sys
from pathlib import Path

import pytest

LINES = [
    b'{"id": 1, "price": 19.90}', b'{"id":2,"bad":1,"big":123456789012345678901234}',
    b"not json\r", b'{"id":3,"caf\xe9":1}', b"[1]", rb'{"bad":1,"s":"\ud800\/","s":-0}', b"{ }",
    '{"bad":1,"é":"\u2028"}'.encode(), b'{"bad":1.0}',
]  # fmt: skip
FAILING = [line for line in LINES if line not in (b'{"id": 1, "price": 19.90}', b"{ }")]
SCORE = """
def first(record):
    return {"seen": True}

def score(record):
    if "bad" in record:
        raise ValueError("bad")
    return {"score": 1}
"""


def streamproc(
    folder: Path, *arguments: str, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "streamproc", *arguments]
    return subprocess.run(command, cwd=folder, input=stdin, capture_output=True, check=False)


def process(folder: Path, *arguments: str) -> bytes:
    (folder / "score.py").write_text(SCORE)
    stages = ("-e", "score.py:first", "-e", "score.py:score")
    done = streamproc(folder, *stages, *arguments, stdin=b"\n".join(LINES) + b"\n")
    assert done.returncode == 3, done.stderr
    return done.stdout


def test_from_annotated_output(tmp_path: Path) -> None:
    """What stages added and `_error` are taken off; good lines are not repeated."""
    (tmp_path / "out.jsonl").write_bytes(process(tmp_path))
    done = streamproc(tmp_path, "replay", "out.jsonl")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.split(b"\n") == [*FAILING, b""]


def test_from_dead_letters(tmp_path: Path) -> None:
    """Dead letters hold the originals, bytes that are no UTF-8 included."""
    out = process(tmp_path, "--on-error", "dead-letter", "--dead-letter", "dead.jsonl")
    assert len(out.splitlines()) == len(LINES) - len(FAILING)
    done = streamproc(tmp_path, "replay", "dead.jsonl")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.split(b"\n") == [*FAILING, b""]


def test_several_files_and_stdin(tmp_path: Path) -> None:
    """Files come in order, `-` is stdin."""
    (tmp_path / "a.jsonl").write_bytes(b'{"n":1,"_error":{}}\n\n')
    (tmp_path / "b.jsonl").write_bytes(b'{"n":3,"_error":{}}')
    stdin = b'{"n":2,"_error":{}}\r\n{"n":9}\n'
    done = streamproc(tmp_path, "replay", "a.jsonl", "-", "b.jsonl", stdin=stdin)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == b'{"n":1}\n{"n":2}\n{"n":3}\n'


def test_what_cannot_be_given_back(tmp_path: Path) -> None:
    """A too-long line and what is no record are reported with their place, exit 3."""
    (tmp_path / "in.jsonl").write_bytes(b'{"n":1}\n' + b'{"long":"' + b"x" * 99 + b'"}\n')
    done = streamproc(
        tmp_path, "-e", "none", "--max-line-bytes", "50", "in.jsonl", "-o", "out.jsonl"
    )
    assert done.returncode == 3
    with (tmp_path / "out.jsonl").open("ab") as file:
        file.write(b'garbage\n{"n":2,"_error":{}}\n')
    done = streamproc(tmp_path, "replay", "out.jsonl")
    assert (done.returncode, done.stdout) == (3, b'{"n":2}\n')
    long, garbage = done.stderr.decode().splitlines()
    assert long.startswith("streamproc: out.jsonl, line 2: ")
    assert "line 2 of in.jsonl was too long" in long
    assert garbage.startswith("streamproc: out.jsonl, line 3: ")


def test_failed_only(tmp_path: Path) -> None:
    """With `--failed-only` a record remembers which of its sources failed."""
    (tmp_path / "a.jsonl").write_bytes(b'{"n":1.0,"x":2,"_error":{"kind":"k","sources":{"b":1}}}\n')
    done = streamproc(tmp_path, "replay", "--failed-only", "a.jsonl")
    assert done.stdout == b'{"n":1.0,"x":2,"_error":{"sources":{"b":1}}}\n'


@pytest.mark.parametrize(("arguments", "code"), [([], 2), (["no-such-file"], 66), (["."], 66)])
def test_errors(tmp_path: Path, arguments: list[str], code: int) -> None:
    """No FILE is a usage error; a FILE that cannot be read is exit 66; no traceback."""
    done = streamproc(tmp_path, "replay", *arguments)
    assert (done.returncode, done.stdout) == (code, b"")
    assert b"Traceback" not in done.stderr
    assert done.stderr
