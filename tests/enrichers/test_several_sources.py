"""`all = [...]` of Python functions: what each of them did is told of that record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import records

pytestmark = pytest.mark.forked
CODE = """
def good(record):
    return {"ok": True}

def bad(record):
    raise ValueError("bad")
"""
PIPELINE = """
[[stage]]
all = [ { name = "a", python = "code.py:good" }, { name = "b", python = "code.py:bad" } ]
"""


@pytest.mark.parametrize("n", [1, 10, 300])
def test_attempts_are_those_of_the_record(run: Any, folder: Path, n: int) -> None:
    """A job's visit goes on to another record before the first is told: 0 attempts stood there."""
    (folder / "code.py").write_text(CODE)
    (folder / "p.toml").write_text(PIPELINE)
    done = run("-c", "p.toml", stdin=b"{}\n" * n)
    errors = [record["_error"] for record in records(done.stdout)]
    assert done.returncode == 3
    assert [(e["attempts"], e["sources"]["b"]["attempts"]) for e in errors] == [(1, 1)] * n
