"""An observer by a plugin: `tests/plugin` writes one JSON line per failed call."""

import json
import re
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import install_other

pytestmark = pytest.mark.forked
Run = Callable[..., subprocess.CompletedProcess[bytes]]

STAGES = """
def plain(record):
    if record["n"] % 3 == 0:
        raise ValueError("three")
    return {"done": True}

async def awaited(record):
    return plain(record)

async def outage(record):
    raise ConnectionError("nobody there")
"""
PIPELINE = """
[observers.failures]
file = "failed.jsonl"

[[stage]]
name = "odd"
python = "odd.py:plain"
"""
RECORDS = b"".join(b'{"n":%d}\n' % n for n in range(200))
FAILED = sum(n % 3 == 0 for n in range(200))


@pytest.fixture
def file(folder: Path) -> Path:
    (folder / "odd.py").write_text(STAGES)
    (folder / "p.toml").write_text(PIPELINE)
    return folder / "failed.jsonl"


def told(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def of_stage(done: subprocess.CompletedProcess[bytes]) -> dict[str, Any]:
    return dict(json.loads(done.stderr.splitlines()[-1])["stages"]["odd"])


@pytest.mark.parametrize(
    ("function", "workers", "policies"),
    [
        ("plain", "1", ()),
        ("plain", "2", ()),
        ("awaited", "1", ()),
        ("awaited", "2", ()),
        ("plain", "1", ("--set", "odd.retry.attempts=2")),
    ],
)
def test_every_failed_call_is_told_once(
    run: Run, file: Path, function: str, workers: str, policies: tuple[str, ...]
) -> None:
    """Whoever makes the call: some at once, awaited, below policies, in a worker."""
    given = "-c", "p.toml", "--set", f"odd.python=odd.py:{function}", *policies
    done = run(*given, "-w", workers, "--summary", "json", stdin=RECORDS)
    assert done.returncode == 3, done.stderr
    event = {"stage": "odd", "target": "odd", "attempt": 1, "kind": "exception",
             "message": "ValueError: three", "status": None}  # fmt: skip
    assert told(file) == [event] * FAILED
    counts = of_stage(done)
    assert (counts["calls"], counts["failed_calls"]) == (200, FAILED)


def test_each_attempt_is_a_call(run: Run, file: Path) -> None:
    """Those that are made again, too: failed records are fewer than failed calls."""
    given = ["--set", "odd.python=odd.py:outage", "--set", "odd.retry={attempts=3, base=0}"]
    done = run("-c", "p.toml", *given, "--summary", "json", stdin=b'{"n":1}\n' * 5)
    assert done.returncode == 3, done.stderr
    assert Counter(each["attempt"] for each in told(file)) == {1: 5, 2: 5, 3: 5}
    assert of_stage(done)["failed_calls"] == 15


def test_a_value_of_its_table_is_set_and_shown(run: Run, file: Path) -> None:
    (file.parent / "p.toml").write_text(
        PIPELINE.replace("[observers.failures]\nfile", "observers.failures")
    )
    sets = "--set", "observers.failures.kinds=['timeout']"
    shown = run("check", "p.toml", *sets)
    assert b'failures = { file = "failed.jsonl", kinds = ["timeout"] }' in shown.stdout
    assert run("-c", "p.toml", *sets, stdin=RECORDS).returncode == 3
    assert told(file) == []


def test_a_run_goes_on_with_another_observer(run: Run, file: Path) -> None:
    """Who hears of a run changes nothing of what it makes."""
    (file.parent / "in.jsonl").write_bytes(RECORDS)
    durable = "in.jsonl", "-o", "out", "--checkpoint", "c", "--resume"
    assert run("-c", "p.toml", *durable, "--limit", "30").returncode == 3
    assert len(told(file)) == 10
    done = run("-c", "p.toml", *durable, "--set", "observers.failures.file=others.jsonl")
    assert done.returncode == 3, done.stderr
    assert len(told(file.parent / "others.jsonl")) == FAILED - 10


@pytest.mark.parametrize(
    ("observers", "code", "said"),
    [
        ("failurs = 'x'", 78, b"observers.failurs: there is no such observer, did you mean fail"),
        ("quota = 3", 78, b"observers.quota: there is no such observer"),
        ("summary = 'x'", 78, b"observers.summary: there is no such observer"),
        ("failures = { fiel = 'x' }", 78, b"observers.failures.fiel: unknown key, did you mean"),
        ("failures = { file = 'x', kinds = 3 }", 78, b"observers.failures.kinds: expected list"),
        ("failures = 'nowhere/x'", 73, b"observers.failures: nowhere/x: No such file"),
    ],
)
def test_mistakes_are_told_before_anything_is_read(
    run: Run, file: Path, observers: str, code: int, said: bytes
) -> None:
    (file.parent / "p.toml").write_text(f"[observers]\n{observers}\n")
    done = run("-c", "p.toml", "-o", "out", stdin=RECORDS)
    assert (done.returncode, done.stdout) == (code, b"")
    assert said in done.stderr
    assert not (file.parent / "out").exists()


def test_one_that_fails_is_told_and_the_run_goes_on(run: Run, file: Path) -> None:
    """A full disk under the observer is not one under the records."""
    done = run("-c", "p.toml", "--set", "observers.failures.file=/dev/full", stdin=RECORDS)
    assert done.returncode == 3
    assert len(done.stdout.splitlines()) == 200
    assert done.stderr.count(b"observers.failures failed, and hears no more: OSError") == 1


@pytest.mark.parametrize(
    ("name", "value", "command", "said"),
    [
        ("summary", "streamproc_example.failures:Failures", "schema", b"exists already"),
        ("failures", "streamproc_example.failures:Failures", "check", b"two of that name"),
        ("other", "streamproc_example.quota:Quota", "check", b"is no ObserverKind"),
        ("other", "nowhere:Other", "check", b"cannot be imported: ModuleNotFoundError"),
    ],
)
def test_a_plugin_that_cannot_be_used_is_told(
    run: Run, folder: Path, name: str, value: str, command: str, said: bytes
) -> None:
    """Another distribution, found as one that is installed."""
    install_other(folder, "streamproc.observers", name, value)
    (folder / "p.toml").write_text(f"[observers]\n{name} = 'x'\n")
    arguments = [command] if command == "schema" else [command, "p.toml"]
    done = run(*arguments, env={"PYTHONPATH": str(folder)})
    assert done.returncode == 78, done.stdout
    assert said in done.stderr


def test_the_help_names_what_is_installed(run: Run) -> None:
    plugins = run("--help").stdout.decode().partition("\nPlugins:\n")[2]
    for names in ("observers +failures", "policies +quota", "stages +reverse"):
        assert re.search(names, plugins)


def test_the_schema_has_its_table(run: Run) -> None:
    known = json.loads(run("schema").stdout)["$defs"]
    short, text = known["ObserverSettings"]["properties"]["failures"]["anyOf"]
    assert (short, text) == ({"$ref": "#/$defs/Failures"}, {"type": "string"})
    assert known["Failures"]["required"] == ["file"]
