"""`--log-level info` tells what becomes of the calls' targets, `debug` every attempt."""

import json
import re
from typing import Any

import pytest
from servers.running import Server

pytestmark = pytest.mark.forked
FOUR = [{"n": n} for n in range(4)]
ONCE_DOWN = "/429?id=a&times=1&status=500&form=none"
QUICK = 'retry = { base = "1ms" }\nbreaker = { consecutive = 1, open = "0.1s" }\n'
LOG = re.compile(r"streamproc: (warning|info|debug): (.*)")


def logged(outcome: Any, level: str) -> list[str]:
    """Messages of `level`."""
    lines = map(LOG.fullmatch, outcome.stderr.decode().splitlines())
    return [line[2] for line in lines if line and line[1] == level]


def test_every_change_of_a_circuit(enrich: Any, server: Server) -> None:
    text = f'{QUICK}http = {{ url = "SERVER{ONCE_DOWN}" }}'
    outcome = enrich(text, *FOUR, args=("-j", "1", "--log-level", "info"))
    assert outcome.code == 0
    [opened] = logged(outcome, "warning")  # the first time it is why nothing happens
    half_open, closed = [m for m in logged(outcome, "info") if "the circuit is" in m]
    assert re.match(
        rf"x: {server.url}: the circuit is open for 0\.\d s: "
        rf"GET {re.escape(server.url + ONCE_DOWN)}: 500 Internal Server Error",
        opened,
    )
    assert "; calls wait for it up to " in opened
    assert opened.endswith("(--set x.breaker.max_wait=..)")
    assert half_open == f"x: {server.url}: the circuit is half-open: 3 calls may try"
    assert closed == f"x: {server.url}: the circuit is closed"


def test_a_pause(enrich: Any, server: Server) -> None:
    text = 'http = { url = "SERVER/429?key=a&times=1&after=0.3&form=ms" }'
    outcome = enrich(text, *FOUR, args=("-j", "1", "--log-level", "info"))
    assert [m for m in logged(outcome, "info") if "paused" in m] == [
        f"x: {server.url}: paused for 0.3 s (Retry-After, 429)"
    ]


def test_a_pause_that_a_function_asks_for(run: Any, folder: Any) -> None:
    (folder / "f.py").write_text(
        "import streamproc\n"
        "asked = []\n"
        "async def f(record):\n"
        "    if not asked:\n"
        "        asked.append(1)\n"
        '        raise streamproc.Retry("later", after_s=0.2)\n'
    )
    done = run("-e", "x=f.py:f", "--set", "x.retry=true", "--log-level", "info", stdin=b"{}\n")
    assert b"streamproc: info: x: paused for 0.2 s (streamproc.Retry)\n" in done.stderr
    assert b"streamproc: info: x: retries: 1 (1 \xc3\x97 exception)\n" in done.stderr


def test_retries_in_groups(enrich: Any, server: Server) -> None:
    """Each of them is in one; the last group is told when the run ends, too."""
    path = "/429?id=a&times=12&status=500&form=none"
    text = (
        'breaker = false\nretry = { base = "1ms", attempts = 20 }\n'
        f'http = {{ url = "SERVER{path}" }}'
    )
    outcome = enrich(text, *FOUR, args=("--log-level", "info"))
    groups = [
        re.fullmatch(rf"x: {server.url}: retries: (\d+) \((\d+) × 500\)", message)
        for message in logged(outcome, "info")
    ]
    assert all(group and group[1] == group[2] for group in groups)
    assert sum(int(group[1]) for group in groups if group) == outcome.counts["retries"] == 12
    assert len(groups) < 12
    assert not logged(outcome, "debug")


def test_every_attempt(enrich: Any, server: Server) -> None:
    """Of which record, with what was asked, secrets masked, and what came of it."""
    text = (
        'retry = { base = "1ms", attempts = 2 }\nbreaker = false\n'
        'http = { url = "SERVER/status/{n}?api_key=hidden" }'
    )
    given = [{"n": 200}, {"n": 404}, {"n": 500}]
    outcome = enrich(text, *given, args=("-j", "1", "--log-level", "debug"))
    attempts = [m for m in logged(outcome, "debug") if ": attempt " in m]
    shapes = [
        r"<stdin>:1: x: attempt 1: GET {}/status/200\?api_key=\*\*\*: ok",
        r"<stdin>:2: x: attempt 1: GET {}/status/404\?api_key=\*\*\*: nothing found",
        r"<stdin>:3: x: attempt 1: GET {}/status/500\?api_key=\*\*\*: 500 Internal Server Error.*",
        r"<stdin>:3: x: attempt 2: GET {}/status/500\?api_key=\*\*\*: 500 Internal Server Error.*",
    ]
    assert len(attempts) == 4
    for shape, message in zip(shapes, attempts, strict=True):
        assert re.fullmatch(shape.format(server.url) + r", \d+\.\d{3} s", message)
    assert b"hidden" not in outcome.stderr


def test_attempts_of_a_list(enrich: Any, server: Server) -> None:
    text = (
        'batch = { size = 4, wait = "1s" }\nhttp = { url = "SERVER/bulk", json = { id = "{n}" } }'
    )
    outcome = enrich(text, *FOUR, args=("--log-level", "debug"))
    (attempt,) = [m for m in logged(outcome, "debug") if ": attempt " in m]
    assert attempt.startswith(f"<stdin>:1: x: attempt 1: 4 × POST {server.url}/bulk: ok, ")


@pytest.mark.parametrize("form", ["text", "json"])
def test_workers_tell_it_too(enrich: Any, server: Server, form: str) -> None:
    """Their lines are as those of a run without workers."""
    text = f'{QUICK}http = {{ url = "SERVER{ONCE_DOWN}" }}'
    args = ("-w", "2", "-j", "2", "--log-level", "debug", "--log-format", form)
    outcome = enrich(text, *FOUR, args=args)
    *lines, _ = outcome.stderr.decode().splitlines()  # the summary
    if form == "json":
        entries = [json.loads(line) for line in lines]
        assert all({"time", "level", "logger", "message"} <= entry.keys() for entry in entries)
        told = [(entry["level"], entry["message"]) for entry in entries]
    else:
        matches = [LOG.fullmatch(line) for line in lines]
        assert all(matches)
        told = [(match[1], match[2]) for match in matches if match]
    place = f"x: {server.url}: "
    assert any(each[1].startswith(f"{place}the circuit is open for ") for each in told)
    assert ("info", f"{place}retries: 1 (1 × 500)") in told
    attempts = [m for level, m in told if level == "debug" and ": x: attempt " in m]
    assert len(attempts) == outcome.counts["requests"] == 5


@pytest.mark.parametrize("workers", ["1", "2"])
def test_all_of_a_record_is_found_by_its_id(run: Any, folder: Any, workers: str) -> None:
    """One grep: its `_error`, its traceback, and why it failed, also of the second of a kind."""
    (folder / "f.py").write_text("def f(record):\n    return 1 / record['n']\n")
    args = ("-e", "x=f.py:f", "-w", workers, "--run-id", "night", "--log-level", "debug")
    done = run(*args, stdin=b'{"n":0}\n{"n":0}\nno JSON\nno JSON\n')
    said, out = done.stderr.decode().splitlines(), done.stdout.decode().splitlines()
    for line in (1, 2):
        record_id = f"night:<stdin>:{line}"
        assert f'"id":"{record_id}"' in out[line - 1]
        at = said.index(f"streamproc: debug: {record_id}: stage x failed")
        assert said[at + 1] == "Traceback (most recent call last):"
    for lines, why in ((1, 2), "exception in x: ZeroDivis"), ((3, 4), "malformed in decode: "):
        told = [each.split(": ")[1] for line in lines for each in said
                if f": night:<stdin>:{line}: {why}" in each]  # fmt: skip
        assert sorted(told) == ["debug", "warning"]  # whichever came first of several workers


def test_by_default_only_that_it_opened(enrich: Any) -> None:
    text = f'{QUICK}http = {{ url = "SERVER{ONCE_DOWN}" }}'
    outcome = enrich(text, *FOUR, args=("-j", "1"))
    [told] = filter(LOG.fullmatch, outcome.stderr.decode().splitlines())
    assert "the circuit is open" in told
