"""`replay --failed-only | streamproc --incoming-errors redo`: only what failed is asked again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from servers.running import Server

pytestmark = pytest.mark.forked
REDO = ("--incoming-errors", "redo")
LETTERS = ("--on-error", "dead-letter", "--dead-letter", "dead")
# fails once for each key, then answers
ONCE = "SERVER/429?status=400&form=none&times=1&key="
TWICE = "SERVER/429?status=400&form=none&times=2&key="


@pytest.fixture(params=["annotate", "stop", "dead-letter"])
def on_error(request: Any) -> tuple[str, ...]:
    return LETTERS if request.param == "dead-letter" else ("--on-error", request.param)


def failed(outcome: Any, folder: Path, on_error: tuple[str, ...]) -> str:
    """The file with what failed."""
    if on_error is LETTERS:
        assert outcome.counts["dead_lettered"] == 1
        return "dead"
    assert outcome.counts["failed"] == 1
    (folder / "out").write_bytes(outcome.stdout)
    return "out"


def test_no_other_source_and_no_other_stage(
    enrich: Any, run: Any, folder: Path, server: Server, on_error: tuple[str, ...]
) -> None:
    """Stages before it are done, stages after it follow; nothing is lost on the way."""
    text = f"""
        [[stage]]
        name = "before"
        http = {{ url = "SERVER/company/{{n}}" }}
        [[stage]]
        name = "some"
        all = [ {{ name = "a", http = {{ url = "SERVER/company/a{{n}}" }} }},
                {{ name = "b", http = {{ url = "{ONCE}{{n}}" }} }} ]
        [[stage]]
        name = "after"
        all = [ {{ name = "c", http = {{ url = "SERVER/company/c{{n}}" }} }},
                {{ name = "d", http = {{ url = "SERVER/company/d{{n}}" }} }} ]"""
    line = b'{ "n": 1 ,"price":1.50}\n'
    file = failed(enrich(text, line, args=on_error), folder, on_error)
    assert run("replay", file).stdout == line
    marked = run("replay", "--failed-only", file)
    assert marked.returncode == 0
    again = enrich(text, marked.stdout, args=REDO)
    assert again.code == 0
    (record,) = again.out
    assert [*record] == ["n", "price", "before", "a", "b", "c", "d"]
    assert again.stdout.startswith(line[:-2])
    paths = server.stats()["paths"]
    assert paths.pop("/429") == 2
    assert set(paths.values()) == {1}
    assert len(paths) == 4


def test_sources_of_one_name_in_two_stages(
    enrich: Any, run: Any, folder: Path, server: Server, on_error: tuple[str, ...]
) -> None:
    """The stage says which of them is meant."""
    text = f"""
        [[stage]]
        name = "first"
        all = [ {{ name = "a", into = "one.a", http = {{ url = "SERVER/company/x" }} }} ]
        [[stage]]
        name = "second"
        all = [ {{ name = "a", into = "two.a", http = {{ url = "{ONCE}{{n}}" }} }},
                {{ name = "d", into = "two.d", http = {{ url = "SERVER/company/d" }} }} ]"""
    file = failed(enrich(text, args=on_error), folder, on_error)
    marked = run("replay", "--failed-only", file).stdout
    again = enrich(text, marked, args=REDO)
    assert again.code == 0
    assert set(again.out[0]["two"]) == {"a", "d"}
    assert server.stats()["paths"] == {"/company/x": 1, "/company/d": 1, "/429": 2}


def test_what_fails_again(
    enrich: Any, run: Any, folder: Path, server: Server, on_error: tuple[str, ...]
) -> None:
    """A second pass that fails still has what the first one kept, and the original line."""
    text = f"""all = [ {{ name = "a", http = {{ url = "SERVER/company/a" }} }},
        {{ name = "b", http = {{ url = "{TWICE}{{n}}" }} }} ]"""
    file = failed(enrich(text, args=on_error), folder, on_error)
    marked = run("replay", "--failed-only", file).stdout
    (folder / file).unlink()
    file = failed(enrich(text, marked, args=(*REDO, *on_error)), folder, on_error)
    assert run("replay", file).stdout == b'{"n": 1}\n'
    again = enrich(text, run("replay", "--failed-only", file).stdout, args=REDO)
    assert (again.code, [*again.out[0]]) == (0, ["n", "a", "b"])
    assert server.stats()["paths"] == {"/company/a": 1, "/429": 3}


@pytest.mark.parametrize(
    "error",
    [
        b'{"sources":{}}',
        b'{"sources":{"a":{}}}',
        b'{"stage":"x","sources":{}}',
        b'{"stage":"other","sources":{"a":{}}}',
        b'{"stage":"x","sources":{"z":{}}}',
        b'{"stage":"x","sources":{"a":{}},"raw_base64":"?"}',
        b'{"stage":"x","sources":["a"]}',
        b'{"stage":["x"],"sources":{"a":{}}}',
        b'{"stage":"x","sources":{"a":{}},"kind":"timeout"}',
        b'"x"',
    ],
)
def test_what_says_nothing_passes(enrich: Any, server: Server, error: bytes) -> None:
    """An `_error` that names no source of a stage skips none, and asks none."""
    text = """all = [ { name = "a", http = { url = "SERVER/ok" } } ]"""
    line = b'{"n":1,"_error":%b}\n' % error
    outcome = enrich(text, line, args=REDO)
    assert (outcome.code, outcome.stdout, outcome.counts["had_error"]) == (0, line, 1)
    assert server.stats()["total"] == 0


def test_nothing_is_asked_again_without_being_told(enrich: Any, server: Server) -> None:
    """Records may come from anywhere: what they say they lack is not bought for them."""
    text = """all = [ { name = "a", http = { url = "SERVER/ok" } } ]"""
    line = b'{"n":1,"_error":{"stage":"x","sources":{"a":{"kind":"timeout"}}}}\n'
    outcome = enrich(text, line)
    assert (outcome.code, outcome.stdout, outcome.counts["had_error"]) == (0, line, 1)
    assert server.stats()["total"] == 0
    outcome = enrich(text, line, args=REDO)
    assert outcome.out[0]["a"]["path"] == "/ok"
    assert server.stats()["total"] == 1
