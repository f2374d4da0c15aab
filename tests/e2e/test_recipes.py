"""The jobs of docs/guide/recipes.md: its own files, its own commands."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from benchmarks.demo_server import company, person
from tests.conftest import PATIENCE_S, PROGRAM, environment, records

ROOT = Path(__file__).parent.parent.parent
TEXT = (ROOT / "docs" / "guide" / "recipes.md").read_text("utf-8")
BLOCK = re.compile(r"```(\w+) ?(\S*)\n(.*?)```", re.DOTALL)
LEADS = [
    {"id": n, "email": f"lead-{n}@company-{n % 500}.com", "domain": f"company-{n % 500}.com"}
    for n in range(5000)
]


class Recipe(NamedTuple):
    """One section: its files by name, and its commands."""

    files: dict[str, str]
    commands: str


def recipes() -> dict[str, Recipe]:
    found = {}
    for section in TEXT.split("\n## ")[1:]:
        blocks = BLOCK.findall(section)
        files = {name: code for _, name, code in blocks if name}
        commands = "".join(code for kind, _, code in blocks if kind == "sh")
        found[section.partition("\n")[0]] = Recipe(files, commands)
    return found


RECIPES = recipes()


@pytest.fixture
def follow(folder: Path, url: str) -> Any:
    """Write the files of a recipe and begin to run its commands."""
    (folder / "bin").mkdir()
    (folder / "bin" / "streamproc").write_text(PROGRAM)
    (folder / "bin" / "streamproc").chmod(0o755)
    write(folder / "leads.jsonl", LEADS)
    path = {"PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"}

    def begin(beginning: str) -> subprocess.Popen[bytes]:
        (recipe,) = (r for title, r in RECIPES.items() if title.startswith(beginning))
        for name, code in recipe.files.items():
            (folder / name).write_text(code.replace("http://127.0.0.1:8765", url))
        commands = recipe.commands.replace("http://127.0.0.1:8765", url)
        return subprocess.Popen(
            ["bash", "-c", commands], cwd=folder, env=environment(path),
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, process_group=0,
        )  # fmt: skip

    return begin


def write(path: Path, values: list[dict[str, Any]]) -> None:
    path.write_bytes(b"".join(json.dumps(value).encode() + b"\n" for value in values))


def finish(process: subprocess.Popen[bytes], *codes: int) -> None:
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode in codes, err


def test_each_job_is_short() -> None:
    """Each at most ten lines to write and to type, blank ones apart."""
    assert len(RECIPES) == 8
    for recipe in RECIPES.values():
        text = "".join(recipe.files.values()) + recipe.commands
        assert len([line for line in text.splitlines() if line.strip()]) <= 10


def test_a_flaky_api(follow: Any, folder: Path) -> None:
    """Every lead is in the output with what the API knows, or among the last dead letters."""
    finish(follow("Enrich 5,000"), 0, 3)
    out = records((folder / "out.jsonl").read_bytes())
    letters = folder / "again.jsonl"
    failed = records(letters.read_bytes()) if letters.exists() else []
    left = [json.loads(letter["raw"]) for letter in failed]
    assert sorted(lead["id"] for lead in (*out, *left)) == list(range(5000))
    assert len(out) > len(LEADS) / 2
    assert all(lead["company"] == company(lead["domain"]) for lead in out)


def test_a_class_with_a_pool(follow: Any, folder: Path) -> None:
    """All leads, in order, each with its person."""
    write(folder / "leads.jsonl", LEADS[:500])
    finish(follow("An async class"), 0)
    expected = [
        lead | {"person": person(str(lead["email"])) or {"error": "not found"}}
        for lead in LEADS[:500]
    ]
    assert records((folder / "out.jsonl").read_bytes()) == expected


def test_a_kill(follow: Any, folder: Path) -> None:
    """Killed in the middle and started again: the output of one run."""
    process = follow("Go on after")
    out = folder / "out.jsonl"
    while process.poll() is None and (not out.exists() or not out.stat().st_size):
        subprocess.run(["sleep", "0.01"], check=True)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert out.read_bytes().count(b"\n") < len(LEADS)
    finish(follow("Go on after"), 0)
    expected = [lead | {"score": len(str(lead["email"]))} for lead in LEADS]
    assert records(out.read_bytes()) == expected


def test_two_stages(follow: Any, folder: Path) -> None:
    """The second stage has what the first one said of it."""
    write(folder / "leads.jsonl", LEADS[:500])
    finish(follow("Two stages"), 0)
    out = records((folder / "out.jsonl").read_bytes())
    assert [lead["company"] for lead in out] == [company(str(x["domain"])) for x in LEADS[:500]]
    large = [lead for lead in out if lead["company"] and lead["company"]["employees"] > 2500]
    assert 0 < len(large) < len(out)
    assert [lead for lead in out if "person" in lead] == large
    assert all(lead["person"] == person(lead["email"]) for lead in large)


def test_fan_out(follow: Any, folder: Path) -> None:
    """As many records as addresses."""
    companies = [{"domain": f"c{n}.com", "emails": [f"{k}@c{n}.com" for k in range(n)]}
                 for n in range(4)]  # fmt: skip
    write(folder / "companies.jsonl", [*companies, {"domain": "none.com"}])
    finish(follow("One record in"), 0)
    assert records((folder / "out.jsonl").read_bytes()) == [
        {"email": f"{k}@c{n}.com", "domain": f"c{n}.com"} for n in range(4) for k in range(n)
    ]


def test_csv(follow: Any, folder: Path) -> None:
    """A table comes out, with a row for each."""
    (folder / "leads.csv").write_text('id,email\n1,a@x.com\n2,"b@y.org"\n')
    finish(follow("From CSV"), 0)
    assert (folder / "out.csv").read_text() == "id,domain\n1,x.com\n2,y.org\n"


def test_cron(follow: Any, folder: Path) -> None:
    """Each start does what was added, none what another one is at."""
    write(folder / "leads.jsonl", LEADS[:3])
    finish(follow("From cron"), 0)
    first = (folder / "out.jsonl").read_bytes()
    write(folder / "leads.jsonl", LEADS[:5])
    assert [lead["id"] for lead in records(first)] == [0, 1, 2]
    with (folder / "leads.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        finish(follow("From cron"), 1)
    assert (folder / "out.jsonl").read_bytes() == first
    finish(follow("From cron"), 0)
    assert [lead["id"] for lead in records((folder / "out.jsonl").read_bytes())] == list(range(5))


def test_a_key_from_a_file(follow: Any, folder: Path) -> None:
    """It is read; a key that is empty ends the run at the start."""
    write(folder / "leads.jsonl", LEADS[:5])
    (folder / "api.key").write_text("12345\n")
    finish(follow("A key from"), 0)
    out = (folder / "out.jsonl").read_bytes()
    assert [lead["company"] for lead in records(out)] == [
        company(f"company-{n}.com") for n in range(5)
    ]
    (folder / "api.key").write_text("")
    finish(follow("A key from"), 78)
