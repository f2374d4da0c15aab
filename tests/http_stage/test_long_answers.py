"""What is done with a long answer, or for a long record, is done beside the loop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from servers.running import Server

from streamproc import Pipeline
from streamproc.engines import program
from streamproc.engines.additions import Additions
from streamproc.enrichers.http import HttpEnricher
from streamproc.enrichers.http_request import RequestBuilder
from streamproc.policies import single_flight
from streamproc.threads import LONG_BYTES

SIZE = LONG_BYTES + 1000
RECORDS = [{"id": 1}] * 4
# what takes long: where it stands, and its name
STEPS: list[tuple[Any, str]] = [
    (RequestBuilder, "build"),
    (HttpEnricher, "read"),
    (program, "apply"),
    (Additions, "grown"),
    (single_flight, "decode_any"),
    (single_flight, "_written"),
]


def _is_in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


@pytest.fixture
def in_the_loop(monkeypatch: pytest.MonkeyPatch) -> dict[str, set[bool]]:
    """By step, whether it was done in the thread of the loop."""
    found: dict[str, set[bool]] = {}

    def watched(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def watch(*arguments: Any, **more: Any) -> Any:
            found.setdefault(name, set()).add(_is_in_a_loop())
            return real(*arguments, **more)

        return watch

    for owner, name in STEPS:
        monkeypatch.setattr(owner, name, watched(name, getattr(owner, name)))
    return found


@pytest.mark.parametrize(
    ("more", "top", "steps"),
    [
        ({}, {}, {"read", "apply"}),
        ({}, {"concurrency": 1}, {"read", "apply"}),
        ({"into": "a.b"}, {}, {"read", "apply"}),
        ({"cache": "1h"}, {}, {"read", "apply", "decode_any", "_written"}),
        ({"cache": "1h"}, {"concurrency": 1}, {"read", "apply", "decode_any", "_written"}),
        ({"fallback": [{"value": 1}]}, {}, {"read", "apply"}),
    ],
)
def test_others_have_the_loop(
    more: dict[str, Any],
    top: dict[str, Any],
    steps: set[str],
    server: Server,
    in_the_loop: dict[str, set[bool]],
) -> None:
    """One after the other, and at once, where calls that are equal wait for one answer."""
    stage = {"name": "x", "http": {"url": f"{server.url}/large?bytes={SIZE}"}, **more}
    out: list[Any] = []
    Pipeline([stage], **top).run_sync(RECORDS, out)
    values = [record["a"]["b"] if "into" in more else record["x"] for record in out]
    assert values == ["a" * (SIZE - 2)] * len(RECORDS)
    assert in_the_loop == {step: {False} for step in steps} | {"build": {True}}


@pytest.mark.parametrize("how", ["all", "batch"])
def test_parts_of_it(how: str, server: Server, in_the_loop: dict[str, set[bool]]) -> None:
    """Of several sources; and of an answer to several records, each of which may have it all."""
    long = "x" * SIZE
    if how == "all":
        paths = {"a": f"large?bytes={SIZE}", "b": "ok"}
        sources = [{"name": k, "http": {"url": f"{server.url}/{v}"}} for k, v in paths.items()]
        stage: dict[str, Any] = {"all": sources}
        records = [{"text": ""}, {"text": ""}]
    else:
        http = {"url": f"{server.url}/bulk", "method": "POST", "json": "{text}"}
        stage = {"name": "a", "http": http, "batch": {"size": 3, "wait": "1h"}}
        records = [{"text": text} for text in ("", "", long)]
    out: list[Any] = []
    Pipeline([stage]).run_sync(records, out)
    assert len(str(out[-1]["a"])) >= SIZE - 2
    assert in_the_loop["apply"] | in_the_loop.get("grown", set()) == {False}


def test_a_request_of_a_long_record(server: Server, in_the_loop: dict[str, set[bool]]) -> None:
    http = {"url": f"{server.url}/echo?id={{id}}", "method": "POST", "json": "{text}"}
    out: list[Any] = []
    records = [{"id": 1, "text": "x" * SIZE}, {"text": "x" * SIZE}]
    Pipeline([{"name": "x", "http": http, "retry": False}]).run_sync(records, out)
    assert out[0]["x"]["body"] == json.dumps("x" * SIZE)
    assert "x" not in out[1]
    assert set().union(*in_the_loop.values()) == {False}
