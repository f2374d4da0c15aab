"""The real command with http stages, against the misbehaving server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from servers.running import Server

from tests.conftest import records, summary


@dataclass
class Outcome:
    """What a run gave back."""

    code: int
    stdout: bytes
    stderr: bytes

    @property
    def out(self) -> list[dict[str, Any]]:
        return records(self.stdout)

    @property
    def counts(self) -> dict[str, Any]:
        counts = summary(self.stderr)
        assert counts["exit_code"] == self.code
        return counts

    @property
    def errors(self) -> list[dict[str, Any]]:
        return [record["_error"] for record in self.out if "_error" in record]

    @property
    def results(self) -> list[Any]:
        """What the stage `x` gave, None where it gave nothing or failed."""
        return [record.get("x") for record in self.out]


Enrich = Callable[..., Outcome]


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture(autouse=True)
def forgotten(server: Server) -> None:
    """Every test begins with no counts."""
    server.reset()


@pytest.fixture
def pipeline(folder: Path, server: Server) -> Callable[..., str]:
    """Write a pipeline file; SERVER in it is the server's URL. Returns its name."""

    def write(text: str, name: str = "p.toml") -> str:
        if "[[stage]]" not in text:
            text = f'[[stage]]\nname = "x"\n{text}'
        (folder / name).write_text(text.replace("SERVER", server.url))
        return name

    return write


@pytest.fixture
def enrich(run: Any, pipeline: Any) -> Enrich:
    """Run a pipeline (or the settings of its only stage, `x`) over some records."""

    def enrich_records(text: str, *given: Any, args: tuple[str, ...] = (), **env: str) -> Outcome:
        stdin = b"".join(
            each if isinstance(each, bytes) else json.dumps(each).encode() + b"\n"
            for each in given or ({"n": 1},)
        )
        done = run("-c", pipeline(text), "--summary", "json", *args, stdin=stdin, env=env)
        assert b"Traceback" not in done.stderr
        return Outcome(done.returncode, done.stdout, done.stderr)

    return enrich_records
