"""What Python code may be: options, generators, context managers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import records

pytestmark = pytest.mark.forked
CODE = """
from pathlib import Path
import streamproc

def option(record, *, top: int = 3, path: Path = Path("."), secret=None):
    return {"top": top, "name": path.name, "kind": type(top).__name__}

async def later(record, top):
    return {"top": top}

@streamproc.transform
def fan(record, times: int = 2):
    for i in range(times):
        yield {"n": record["n"], "i": i}

@streamproc.transform
async def afan(record):
    for i in range(record["n"]):
        yield {"i": i}

class Model:
    def __init__(self, name: str, scale: float = 1):
        self.name, self.scale = name, scale
    def __enter__(self):
        open("entered", "w").close()
        return self
    def __exit__(self, *error):
        open("left", "w").close()
    def __call__(self, record):
        return {"model": self.name, "scale": self.scale}
"""


@pytest.fixture
def asked(run: Any, folder: Path) -> Any:
    def ask(stage: str, *arguments: str) -> list[dict[str, Any]]:
        (folder / "code.py").write_text(CODE)
        (folder / "p.toml").write_text(f"[[stage]]\n{stage}\n")
        done = run("-c", "p.toml", *arguments, stdin=b'{"n":2}\n', env={"TOP": "s3cr3t"})
        assert (done.returncode, done.stderr) == (0, b"")
        return records(done.stdout)

    return ask


@pytest.mark.parametrize(
    ("stage", "wanted"),
    [
        (
            'python = "code.py:option"\noptions = { top = 5, path = "a/b" }',
            [{"n": 2, "top": 5, "name": "b", "kind": "int"}],
        ),
        ('python = "code.py:later"\noptions = { top = "${TOP}" }', [{"n": 2, "top": "s3cr3t"}]),
        ('python = "code.py:fan"', [{"n": 2, "i": 0}, {"n": 2, "i": 1}]),
        ('python = "code.py:fan"\noptions = { times = 1 }', [{"n": 2, "i": 0}]),
        ('python = "code.py:fan"\noptions = { times = 0 }', []),
        ('python = "code.py:afan"', [{"i": 0}, {"i": 1}]),
        (
            'python = "code.py:Model"\noptions = { name = "m", scale = 2 }',
            [{"n": 2, "model": "m", "scale": 2.0}],
        ),
        (
            'python = "code.py:option"\noptions = { top = 5 }\nretry = {}\ncache = "1h"',
            [{"n": 2, "top": 5, "name": "", "kind": "int"}],
        ),
    ],
)
def test_options_and_generators(asked: Any, stage: str, wanted: list[Any]) -> None:
    """Options are keyword arguments of their annotated types; what a transform yields is lines."""
    assert asked(stage) == wanted


def test_a_context_manager_is_entered_and_left(asked: Any, folder: Path) -> None:
    """Also one that is not async."""
    asked('python = "code.py:Model"\noptions = { name = "m" }')
    assert (folder / "entered").exists()
    assert (folder / "left").exists()


def test_options_hold_in_workers_and_can_be_set(asked: Any) -> None:
    """A worker gets them, too; `--set` sets one."""
    stage = 'python = "code.py:option"\noptions = { top = 5 }'
    [record] = asked(stage, "-w", "2", "--set", "option.options.top=7")
    assert record["top"] == 7


def test_a_cache_knows_options_apart(run: Any, folder: Path) -> None:
    """What was answered with other options is no answer."""
    (folder / "code.py").write_text(CODE)
    for top in (1, 2):
        (folder / "p.toml").write_text(
            f'[[stage]]\npython = "code.py:later"\noptions = {{ top = {top} }}\n'
            'cache = { ttl = "1h", path = "c.db" }\n'
        )
        assert records(run("-c", "p.toml", stdin=b"{}\n").stdout) == [{"top": top}]


FIRST = """
import streamproc

def first(record):
    return {"first": next(iter(record["of"]))}

async def later(record):
    return first(record)

@streamproc.transform
def instead(record):
    return first(record)

class Called:
    def __call__(self, record):
        return first(record)
"""


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize(
    "spec", ["first.py:first", "of=first.py:first", "first.py:later", "first.py:instead",
             "first.py:Called"],
)  # fmt: skip
def test_next_of_nothing_fails_its_record(run: Any, folder: Path, spec: str, workers: str) -> None:
    """StopIteration is the end for whoever loops; of a stage it is an exception like any other."""
    (folder / "first.py").write_text(FIRST)
    lines = [b'{"of":[1]}', b'{"of":[]}', b'{"of":[2]}', b'{"of":[]}', b'{"of":[3]}']
    done = run("-e", spec, "-w", workers, stdin=b"\n".join(lines))
    assert done.returncode == 3
    failures = [record.get("_error", {}) for record in records(done.stdout)]
    assert [failure.get("kind") for failure in failures] == [None, "exception"] * 2 + [None]
    assert "StopIteration" in failures[1]["message"]
