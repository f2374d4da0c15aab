"""`streamproc check`: all that is wrong with a pipeline file, or what it means."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

SECRET = "s3cr3t-0xC0FFEE"

GOOD = """
timeout = "250ms"
max_line_bytes = "64KiB"

[[stage]]
builtin = "leads"
when = "token == '${API_KEY}'"

[[stage]]
python = "scoring.py:score"
into = "a.b"
timeout = "2m"
"""


def check(folder: Path, text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "p.toml").write_text(text)
    (folder / "scoring.py").write_text("def score(record):\n    return {}\n")
    command = [sys.executable, "-m", "streamproc", "check", "-c", "p.toml", *arguments]
    environment = {**os.environ, "API_KEY": SECRET}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_a_good_file(tmp_path: Path) -> None:
    """A good file exits 0 and shows the resolved settings, defaults included."""
    done = check(tmp_path, GOOD)
    assert (done.returncode, done.stderr) == (0, "p.toml: ok\n")
    shown = tomllib.loads(done.stdout)
    assert (shown["timeout"], shown["concurrency"], shown["max_line_bytes"]) == (0.25, 64, 65_536)
    assert shown["stage"][0]["name"] == "leads"
    assert shown["stage"][1] == {
        "name": "score", "python": "scoring.py:score", "into": "a.b", "timeout": 120,
    }  # fmt: skip


def test_what_it_shows_is_a_pipeline_file(tmp_path: Path) -> None:
    """The resolved settings mean what the file meant."""
    first = check(tmp_path, GOOD)
    assert check(tmp_path, first.stdout).stdout == first.stdout


def test_a_secret_never_shows(tmp_path: Path) -> None:
    """What comes from the environment is shown as the variable that it came from."""
    done = check(tmp_path, GOOD)
    assert "${API_KEY}" in done.stdout
    assert SECRET not in done.stdout + done.stderr
    done = check(tmp_path, GOOD, "--set", "score.when=x == '${API_KEY}'")
    assert (done.returncode, done.stdout.count("${API_KEY}")) == (0, 2)
    assert SECRET not in done.stdout + done.stderr


@pytest.mark.parametrize("line", ['timeout = "${API_KEY}"', 'on_error = "${API_KEY}"'])
def test_a_secret_never_shows_in_errors(tmp_path: Path, line: str) -> None:
    """Also when it is in the wrong place."""
    done = check(tmp_path, f"{line}\n{GOOD.replace('timeout', '#', 1)}")
    assert done.returncode == 78
    assert "${API_KEY}" in done.stderr
    assert SECRET not in done.stdout + done.stderr


def test_every_error_at_once(tmp_path: Path) -> None:
    """A file with several mistakes exits 78 and tells all of them, without a traceback."""
    done = check(
        tmp_path,
        'timout = 5\nconcurrency = 0\non_error = "explode"\n'
        '[[stage]]\nbuiltin = "none"\nwhen = "${NO_SUCH_VARIABLE}"\nnam = 1\n',
    )
    assert (done.returncode, done.stdout) == (78, "")
    assert sorted(done.stderr.splitlines()) == [
        "streamproc: concurrency: expected int >= 1, got 0",
        "streamproc: on_error: expected one of annotate, dead-letter, drop, stop, got 'explode'",
        "streamproc: stage[0].nam: unknown key, did you mean name?",
        "streamproc: stage[0].when: the environment variable NO_SUCH_VARIABLE is not set",
        "streamproc: timout: unknown key, did you mean timeout?",
    ]


def test_errors_of_several_stages(tmp_path: Path) -> None:
    """Functions are looked up and conditions parsed; every stage that is wrong is told."""
    (tmp_path / "broken.py").write_text("import no_such_module_anywhere\n")
    done = check(
        tmp_path,
        '[[stage]]\npython = "scoring.py:scare"\n[[stage]]\npython = "nowhere.py:f"\n'
        '[[stage]]\npython = "broken.py:f"\n[[stage]]\nbuiltin = "leads"\nwhen = "a =="\n',
    )
    assert done.returncode == 78
    lines = done.stderr.splitlines()
    when, *others = [line.split(": ", 1)[1] for line in lines]
    assert [line.split(": ")[0] for line in others] == [f"stage[{i}]" for i in range(3)]
    assert "did you mean 'score'?" in others[0]
    assert "no such file" in others[1]
    assert "no_such_module_anywhere" in others[2]
    assert "broken.py, line 1" in others[2]
    assert when.startswith("stage[3].when: 'a ==' is no JMESPath")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("a = ", 78, "p.toml: not valid TOML"),
        (
            'output = "a.jsonl"\ndead_letter = "./a.jsonl"\n[[stage]]\nbuiltin = "leads"',
            2,
            "a.jsonl is both the output and the dead-letter file",
        ),
        (
            'output = "p.toml"\n[[stage]]\nbuiltin = "leads"',
            2,
            "p.toml is both the pipeline file and the output",
        ),
    ],
)
def test_other_errors(tmp_path: Path, text: str, code: int, message: str) -> None:
    """What is no TOML, or would write over something, is said in one line, as a run says it."""
    done = check(tmp_path, text)
    assert done.returncode == code
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_usage(tmp_path: Path) -> None:
    """Without a file: usage of check, exit 2; help exits 0."""
    command = [sys.executable, "-m", "streamproc", "check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("Usage: streamproc check ")
    done = subprocess.run([*command, "-h"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "--set" in done.stdout
