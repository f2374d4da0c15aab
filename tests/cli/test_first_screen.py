"""The first screen, and examples: all can be copied and run."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from streamproc.cli.first_screen import EXAMPLES
from tests.conftest import records, summary
from tests.terminal import on_a_terminal

pytestmark = pytest.mark.forked


def test_the_first_screen(folder: Path) -> None:
    """Six examples instead of a usage error alone; colours only where somebody wants them."""
    code, screen = on_a_terminal(folder)
    assert (code, "\x1b[1m" in screen) == (2, True)
    for variables in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        code, screen = on_a_terminal(folder, **variables)
        assert (code, "\x1b" in screen) == (2, False)
    assert len(EXAMPLES) == 6
    for command, _ in EXAMPLES:
        assert f"  {command}\n" in screen
    code, screen = on_a_terminal(folder, "-e", "none")
    assert (code, "stdin is a terminal" in screen) == (2, True)


@pytest.mark.parametrize("command", [command for command, _ in EXAMPLES])
def test_its_examples_run(shell: Any, command: str) -> None:
    """There and then, without any file."""
    if "jq" in command and shutil.which("jq") is None:
        command = command.replace("| jq", "| cat")
    done = shell(command)
    assert (done.returncode, b"Error" in done.stderr) == (0, False), done.stderr


def test_the_sample(run: Any) -> None:
    """--demo is an INPUT."""
    done = run("--demo", "--summary", "json")
    assert len(records(done.stdout)) == summary(done.stderr)["ok"] > 3
    assert run("--demo", "x").returncode == 2


def test_examples_of_the_help(run: Any, shell: Any) -> None:
    """What stands behind `Example:`."""
    found = re.findall(r"Example: (.*)", run("--help").stdout.decode())
    assert found
    for line in found:
        assert shell(line.replace("| jq", "| cat")).returncode == 0


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("streamproc ch", ["plain,check"]),
        ("streamproc --on-e", ["plain,--on-error"]),
        ("streamproc --on-error d", ["plain,dead-letter", "plain,drop"]),
        ("streamproc -e le", ["plain,leads"]),
        ("streamproc -c le", ["file,le"]),
        ("streamproc check --on", ["plain,--online"]),
    ],
)
def test_completion(run: Any, words: str, wanted: list[str]) -> None:
    """Tab gives commands, options, their values, files."""
    count = str(len(words.split()) - 1)
    env = {"_STREAMPROC_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": count}
    out = run(env=env).stdout.decode().splitlines()
    assert [each for each in out if each in wanted] == wanted


@pytest.mark.parametrize("shell_name", ["bash", "zsh", "fish"])
def test_the_script_for_a_shell(run: Any, shell_name: str) -> None:
    done = run("completion", shell_name)
    assert (done.returncode, b"_STREAMPROC_COMPLETE" in done.stdout) == (0, True)
    if shell_name == "bash":
        assert subprocess.run(["bash", "-n"], input=done.stdout, check=False).returncode == 0


def test_the_manual_page(run: Any) -> None:
    """Made of what the commands know: every option of `run` stands in it."""
    page = run("man").stdout.decode()
    assert page.startswith(".TH STREAMPROC 1")
    options = re.findall(
        r"^ +(--[a-z-]+|-[a-zA-Z], --[a-z-]+)", run("--help").stdout.decode(), re.M
    )
    assert len(options) > 30
    for option in options:
        assert option.replace("-", r"\-") in page


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--nope",), 2, "No such option"),
        (("-e", "lead"), 78, "did you mean leads?"),
        (("nowhere",), 66, "cannot open nowhere"),
    ],
)
def test_errors_in_the_form_of_the_log(
    run: Any, folder: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    """With --log-format json, the variable or the file, whatever is wrong is lines of JSON."""
    (folder / "p.toml").write_text('log_format = "json"\n')
    ways: list[Any] = [(("--log-format", "json"), {}), ((), {"STREAMPROC_LOG_FORMAT": "json"})]
    if code != 2:  # before the options are understood nobody reads a file
        ways.append((("-c", "p.toml"), {}))
    for more, env in ways:
        done = run(*arguments, *more, env=env)
        [entry] = map(json.loads, done.stderr.splitlines())
        assert (done.returncode, entry["level"]) == (code, "error")
        assert message in entry["message"]


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (b"{}\n", "streamproc: 1 record in"),
        (b"{}\n{}\n", "streamproc: 2 records in"),
        (b"x\ny\n{}\n", "1 ok, 2 failed (all malformed)"),
        (b"x\n", "0 ok, 1 failed (malformed)"),
        (b'x\n{"a":1,"b":1}\n', "2 failed (1 malformed)"),
    ],
)
def test_the_summary_in_words(run: Any, folder: Path, lines: bytes, says: str) -> None:
    """One is one, and malformed records are some of those that failed."""
    (folder / "code.py").write_text("def f(record):\n    return record and 1 / 0\n")
    assert says in run("-e", "code.py:f", "--summary", "text", stdin=lines).stderr.decode()
