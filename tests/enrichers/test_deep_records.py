"""Records as deep as they may be, through a function that may get them again."""

import subprocess
import sys
from pathlib import Path

import pytest

DEEP = b'{"a":' * 500 + b"1" + b"}" * 500


def test_a_deep_record_reaches_a_function_with_retries(tmp_path: Path) -> None:
    """A copy for the next attempt is made of it, too."""
    (tmp_path / "deep.py").write_text("def f(record):\n    return {'x': 1}\n")
    command = [sys.executable, "-m", "streamproc", "-e", "deep.py:f", "--retries", "1"]
    done = subprocess.run(
        command, input=DEEP + b"\n", cwd=tmp_path, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, DEEP[:-1] + b',"x":1}\n')


@pytest.mark.parametrize("place", ["a", "n", "a.b", "n.b", "."])
@pytest.mark.parametrize("one_more", [False, True])
def test_no_record_comes_out_that_could_not_go_in(
    tmp_path: Path, place: str, one_more: bool
) -> None:
    """A result counts with all that it is put into; one level more fails the record."""
    levels = 511 - (0 if place == "." else len(place.split("."))) + one_more
    value = "[" * levels + "]" * levels
    code = f"import json\ndef f(record):\n    return {{'x': json.loads('{value}')}}\n"
    (tmp_path / "deep.py").write_text(code)
    stage = f'[[stage]]\nname = "s"\npython = "deep.py:f"\ninto = "{place}"\n'
    (tmp_path / "p.toml").write_text(stage)
    streamproc = [sys.executable, "-m", "streamproc"]
    done = subprocess.run(
        [*streamproc, "-c", "p.toml"], input=b'{"n":1}\n', cwd=tmp_path, capture_output=True,
        check=False,
    )  # fmt: skip
    assert (done.returncode, b"nested deeper than 512" in done.stdout) == (3 * one_more, one_more)
    _goes_in_again(done.stdout)


@pytest.mark.parametrize(
    ("levels", "text", "is_too_deep"),
    [(511, "{x: @}", False), (512, "{x: @}", True), (512, "{x: a, y: n}", False), (512, "@", False),
     (511, "{x: {y: @}}", True), (510, "{x: {y: @}}", False)],
)  # fmt: skip
def test_a_select_makes_none_either(levels: int, text: str, is_too_deep: bool) -> None:
    """What it takes over as it stands counts, too."""
    line = b'{"n":1,"a":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}\n"
    done = subprocess.run(
        [sys.executable, "-m", "streamproc", "-e", f"select:{text}"],
        input=line, capture_output=True, check=False,
    )  # fmt: skip
    assert (done.returncode, b"nested deeper than 512" in done.stdout) == (
        3 * is_too_deep,
        is_too_deep,
    )
    _goes_in_again(done.stdout)


def _goes_in_again(lines: bytes) -> None:
    streamproc = [sys.executable, "-m", "streamproc"]
    again = subprocess.run(
        [*streamproc, "-e", "none"], input=lines, capture_output=True, check=False
    )
    assert (again.returncode, again.stdout) == (0, lines)
