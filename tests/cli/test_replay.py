"""`streamproc replay`: the original lines of failed records, byte for byte."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.forked
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
    """Files come in order, `-` is stdin, the second time at its end; a BOM is accepted."""
    (tmp_path / "a.jsonl").write_bytes(b'{"n":1,"_error":{}}\n\n')
    (tmp_path / "b.jsonl").write_bytes(b'{"n":3,"_error":{}}')
    stdin = b'\xef\xbb\xbf{"n":2,"_error":{}}\r\n{"n":9}\n'
    done = streamproc(tmp_path, "replay", "a.jsonl", "-", "b.jsonl", "-", stdin=stdin)
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
    error = b'{"stage":"s","kind":"k","sources":{"b":{"kind":"k"}}}'
    (tmp_path / "a.jsonl").write_bytes(b'{"n":1.0,"x":2,"_error":%b}\n' % error)
    done = streamproc(tmp_path, "replay", "--failed-only", "a.jsonl")
    mark = b'{"stage":"s","sources":{"b":{"kind":"k"}}}'
    assert done.stdout == b'{"n":1.0,"x":2,"_error":%b}\n' % mark


@pytest.mark.parametrize(("arguments", "code"), [([], 2), (["no-such-file"], 66), (["."], 66)])
def test_errors(tmp_path: Path, arguments: list[str], code: int) -> None:
    """No FILE is a usage error; a FILE that cannot be read is exit 66; no traceback."""
    done = streamproc(tmp_path, "replay", *arguments)
    assert (done.returncode, done.stdout) == (code, b"")
    assert b"Traceback" not in done.stderr
    assert done.stderr


def test_damaged_letters_do_not_end_it(tmp_path: Path) -> None:
    """Each is reported with its place; all others are given back."""
    damaged = [
        b'{"_error":{},"raw_base64":"?"}', b'{"_error":{},"raw":7}',
        b'{"a":1,"_error":{"added":[{}]}}', b"\xff",
    ]  # fmt: skip
    lines = [each for bad in damaged for each in (bad, b'{"n":1,"_error":{}}')]
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    done = streamproc(tmp_path, "replay", "a.jsonl")
    assert (done.returncode, done.stdout) == (3, b'{"n":1}\n' * len(damaged))
    assert [line.split(b": ")[1] for line in done.stderr.splitlines()] == [
        b"a.jsonl, line %d" % (2 * k + 1) for k in range(len(damaged))
    ]


def test_one_letter_is_one_line(tmp_path: Path) -> None:
    """A record that was written over several lines is one; other text with newlines is reported."""
    record = rb'{"_error":{},"raw":"{\n\"n\":\n1}"}'
    three = rb'{"_error":{},"raw":"{\"n\":1}\n{\"n\":2}\n{\"n\":3}"}'
    done = streamproc(tmp_path, "replay", "-", stdin=record + b"\n" + three)
    assert (done.returncode, done.stdout) == (3, b'{ "n": 1}\n')
    assert b"<stdin>" in done.stderr or b"-, line 2" in done.stderr


def test_a_file_that_grows(tmp_path: Path) -> None:
    """What its reader adds to it is not read: with its own dead letters a run comes to an end."""
    letters = tmp_path / "dead.jsonl"
    letters.write_bytes(b'{"_error":{},"raw":"{\\"bad\\":1}"}\n' * 20_000)
    (tmp_path / "score.py").write_text(SCORE)
    replay = [sys.executable, "-m", "streamproc", "replay", "dead.jsonl"]
    run = [sys.executable, "-m", "streamproc", "-e", "score.py:score", "--on-error", "dead-letter"]
    with subprocess.Popen(
        replay, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as first:
        second = subprocess.run(
            [*run, "--dead-letter", "dead.jsonl"], cwd=tmp_path, stdin=first.stdout, check=False
        )
        assert first.stderr is not None
        said = first.stderr.read()
    assert (first.returncode, second.returncode) == (0, 3)
    assert len(letters.read_bytes().splitlines()) == 40_000
    assert b"has grown" in said


def test_the_output_is_no_input(tmp_path: Path) -> None:
    """It would read what it writes."""
    letters = tmp_path / "dead.jsonl"
    letters.write_bytes(b'{"n":1,"_error":{}}\n')
    with letters.open("ab") as file:
        command = [sys.executable, "-m", "streamproc", "replay", "dead.jsonl"]
        done = subprocess.run(
            command, cwd=tmp_path, stdout=file, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 2
    assert letters.read_bytes() == b'{"n":1,"_error":{}}\n'


@pytest.mark.parametrize(("lines", "count"), [(b"", b"0 lines"), (b'{"n":1}\n', b"1 line ")])
def test_nothing_to_give_back(tmp_path: Path, lines: bytes, count: bytes) -> None:
    """One line says what was looked at, and where failed records would be."""
    (tmp_path / "a.jsonl").write_bytes(lines)
    done = streamproc(tmp_path, "replay", "a.jsonl")
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (0, b"", 1)
    assert count in done.stderr
    assert b"--dead-letter" in done.stderr
