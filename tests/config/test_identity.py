"""Which changes of a pipeline a resume refuses: those that the output depends on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.forked

FIRST = """
[[stage]]
name = "x"
when = "never"
timeout = "5s"
fallback = [{ value = { client = "a", batch = [1] } }]
[stage.http]
url = "http://127.0.0.1:1/"
method = "POST"
json = { client = "a", deep = { timeout = 1, rate = "{n}" }, key = "${KEY}" }
headers = { Cache = "no", client = "a" }
"""
DATA = [
    ('json = { client = "a"', 'json = { client = "b"'),
    ("timeout = 1", "timeout = 2"),
    ('rate = "{n}"', 'rate = "{m}"'),
    ('value = { client = "a"', 'value = { client = "b"'),
    ("batch = [1]", "batch = [2]"),
    ('no", client = "a"', 'no", client = "b"'),
    ("${KEY}", "${OTHER}"),
]
MANNER = [
    ('timeout = "5s"', 'timeout = "6s"\nretry = { attempts = 2 }\nconcurrency = 3'),
    ('method = "POST"', 'method = "POST"\nclient = "aiohttp"\nmax_body = "1MiB"'),
]


@pytest.fixture
def resumed(run: Any, folder: Path) -> Callable[..., Any]:
    """Runs the pipeline; what is returned goes on with it after a change."""
    (folder / "in").write_bytes(b'{"n":1}\n')
    (folder / "p.toml").write_text(FIRST)
    args = ("-c", "p.toml", "-o", "out", "--checkpoint", "c", "in")
    assert run(*args, env={"KEY": "one secret", "OTHER": "x"}).returncode == 0

    def resume(*change: str, key: str = "one secret") -> Any:
        (folder / "p.toml").write_text(FIRST.replace(*change) if change else FIRST)
        return run(*args, "--resume", env={"KEY": key, "OTHER": "x"})

    return resume


def test_other_data_is_another_pipeline(resumed: Any) -> None:
    """Whatever the keys of a body, of headers or of a value are called."""
    for change in DATA:
        done = resumed(*change)
        assert (done.returncode, change) == (65, change)
        assert b"--resume-force" in done.stderr


def test_another_manner_is_the_same_pipeline(resumed: Any) -> None:
    """How calls are made does not change what they give; what `${VAR}` is, may be rotated."""
    for change in MANNER:
        assert (resumed(*change).returncode, change) == (0, change)
    assert resumed(key="a new secret").returncode == 0
