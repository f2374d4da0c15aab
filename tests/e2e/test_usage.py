"""What goes wrong before the first record: one clear message, the right code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.forked


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nope", b"expected leads, none"),
        ("stages.py:slo", b"stages.py has no 'slo', did you mean 'slow'?"),
        ("missing.py:f", b"no such file: missing.py"),
        ("no_such_module:f", b"there is no module 'no_such_module'\n"),
        ("broken.py:f", b"ZeroDivisionError: division by zero"),
        ("torn.py:f", b"SyntaxError"),
        ("stages.py:time", b"not a function"),
    ],
)
def test_bad_user_code(run: Any, folder: Path, spec: str, message: bytes) -> None:
    """A SPEC that cannot be used is 78 with one line that says why, and no traceback."""
    (folder / "broken.py").write_text("x = 1 / 0\n")
    (folder / "torn.py").write_text("def f(:\n")
    done = run("-e", spec)
    assert done.returncode == 78
    assert message in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_usage_errors(run: Any) -> None:
    """A wrong flag is 2 and names itself."""
    for arguments in (["--nope"], ["-j", "0"], ["--timeout", "soon"], ["--max-line-bytes", "x"]):
        done = run(*arguments)
        assert done.returncode == 2
        assert arguments[0].encode() in done.stderr or b"concurrency" in done.stderr


def test_dead_letter_needs_a_file(run: Any) -> None:
    """`--on-error dead-letter` without a file is an error before anything is read."""
    done = run("--on-error", "dead-letter", stdin=b"{}\n")
    assert done.returncode == 78
    assert b"--dead-letter FILE" in done.stderr


def test_environment_lies_between_file_and_flags(run: Any, folder: Path) -> None:
    """Defaults < pipeline file < environment < flags."""
    (folder / "p.toml").write_text('on_error = "drop"\n[[stage]]\nbuiltin = "none"\n')
    bad = b"bad\n"
    assert run("-c", "p.toml", stdin=bad).stdout == b""
    env = {"STREAMPROC_ON_ERROR": "annotate"}
    assert b"malformed" in run("-c", "p.toml", stdin=bad, env=env).stdout
    assert run("-c", "p.toml", "--on-error", "drop", stdin=bad, env=env).stdout == b""


SAME = {
    "checkpoint and output": ("--checkpoint", "x", "-o", "x"),
    "checkpoint and output, not there yet": ("--checkpoint", "y", "-o", "./y"),
    "checkpoint and dead letters": ("--checkpoint", "x", "--dead-letter", "link"),
    "checkpoint and input": ("--checkpoint", "x", "x"),
    "next checkpoint and output": ("--checkpoint", "y", "-o", "y.new"),
    "dead letters and output": ("--dead-letter", "x", "-o", "x"),
    "dead letters and input": ("--dead-letter", "x", "x"),
    "cache and output": ("-c", "p.toml", "-o", "x"),
    "key of the cache and output": ("-c", "p.toml", "-o", "x.key"),
    "pipeline file and output": ("-c", "p.toml", "-o", "p.toml"),
    "code and output": ("-e", "stages.py:plain", "-o", "stages.py"),
    "acknowledgements and stdout": ("--ack-fd", "1"),
}


@pytest.mark.parametrize("what", SAME)
def test_one_file_for_two_things(what: str, run: Any, folder: Path) -> None:
    """Refused before anything is opened for writing, by whatever names."""
    (folder / "x").write_bytes(b'{"precious":true}\n')
    (folder / "link").symlink_to("x")
    (folder / "p.toml").write_text(
        '[[stage]]\nname = "a"\nhttp = { url = "http://127.0.0.1:9/" }\n'
        'cache = { ttl = "1h", path = "x" }\n'
    )
    before = {path: path.read_bytes() for path in folder.iterdir()}
    done = run(*SAME[what], stdin=b"{}\n")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"is both" in done.stderr
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("table", ["[[stage]]", '[[on]]\nevent = "run_ended"'])
def test_code_beside_a_pipeline_file_is_not_written_over(
    run: Any, folder: Path, table: str
) -> None:
    """It is found there, and not where the command runs."""
    code = folder / "conf" / "code.py"
    code.parent.mkdir()
    code.write_text("def plain(record):\n    return {}\n")
    (code.parent / "p.toml").write_text(f'{table}\npython = "code.py:plain"\n')
    done = run("-c", "conf/p.toml", "-o", "conf/code.py", stdin=b"{}\n")
    assert done.returncode == 2
    assert b"conf/code.py is both code that is called and the output" in done.stderr
    assert code.read_text().startswith("def plain")


def test_help_and_version_everywhere(run: Any) -> None:
    """-h and -V answer on stdout with code 0."""
    for arguments in (
        ["-h"],
        ["--help"],
        ["run", "-h"],
        ["check", "-h"],
        ["replay", "-h"],
        ["schema", "-h"],
    ):
        done = run(*arguments)
        assert done.returncode == 0
        assert done.stdout.startswith(b"Usage: streamproc")
    assert run("--version").stdout.startswith(b"streamproc, version ")


def test_debug_log_shows_the_traceback(run: Any, folder: Path) -> None:
    """An exception of user code is a failed record; its traceback is in the debug log only."""
    (folder / "bad.py").write_text("def f(record):\n    return record['missing']\n")
    done = run("-e", "bad.py:f", stdin=b'{"a":1}\n')
    assert done.returncode == 3
    assert b"KeyError: 'missing'" in done.stdout
    told, digest = done.stderr.splitlines()
    assert told.endswith(b"(the first of its kind; log level debug has the traceback)")
    assert b"exception in f: KeyError: 'missing'" in digest
    assert b"Traceback" in run("-e", "bad.py:f", "--log-level", "debug", stdin=b'{"a":1}\n').stderr


def test_sets_and_pipeline_file(run: Any, folder: Path) -> None:
    """Stages of a file run in order, `when` and `into` hold, `--set` wins."""
    (folder / "p.toml").write_text(
        '[[stage]]\nname = "contact"\nbuiltin = "leads"\n'
        '[[stage]]\npython = "stages.py:plain"\nwhen = "contact.phone.valid"\ninto = "a.b"\n'
    )
    line = b'{"phone":"030 901820"}\n'
    assert b'"a":' not in run("-c", "p.toml", stdin=line).stdout
    done = run("-c", "p.toml", "--set", "contact.country=DE", stdin=line)
    assert done.stdout.endswith(b'"a":{"b":{"ok":true}}}\n')
