"""Policies around calls, counted at the server."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from servers.running import HOST, Server

pytestmark = pytest.mark.forked
USER = """
import asyncio, json, os, time
import streamproc

def note(name, record):
    with open(name, "a") as file:
        file.write(json.dumps([time.monotonic(), record]) + "\\n")

def count(name):
    with open(name) as file:
        return len(file.readlines())

async def flaky(record):
    note("flaky", record)
    if count("flaky") < 3:
        raise [OSError, TimeoutError][record["n"]]("no luck")
    return {"ok": count("flaky")}

async def asks(record):
    note("asks", record)
    if count("asks") == 1:
        raise streamproc.Retry("later", after_s=0.5)
    return {"ok": True}

async def wrong(record):
    note("wrong", record)
    raise ValueError("my own mistake")

async def spoils(record):
    note("spoils", record)
    given = record.pop("n")
    if count("spoils") < 3:
        raise OSError("no luck")
    return {"given": given}

async def simple(record):
    note("simple", record)
    return {"ok": record.get("k")}

async def down(record):
    note("down", record)
    if count("down") < 7:
        raise OSError("down")
    return {"ok": True}

async def waits(record):
    if record["n"] == 1:
        open("second", "w").close()
    elif not os.path.exists("second"):
        raise OSError("not yet")
    return {}

def other(record):
    return {"other": record["n"]}

def fails(record):
    raise ValueError("not me")
"""
CLOCK_S = 0.05  # what the loop's clock may be behind
QUICK = 'retry = { base = "1ms" }\n'
FIVE = 'batch = { size = 5, wait = "1s" }'
TEN = [{"n": n} for n in range(10)]


@pytest.fixture
def user(folder: Path) -> Path:
    """`user.py`; its functions note their calls in files of their names."""
    (folder / "user.py").write_text(USER)
    return folder


def notes(folder: Path, name: str) -> list[Any]:
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


@pytest.fixture
def nobody() -> Iterator[str]:
    """A URL where connections are refused, for as long as the test lasts."""
    with socket.socket() as held:
        held.bind((HOST, 0))
        yield f"http://{HOST}:{held.getsockname()[1]}"


def arrivals(server: Server, path: str) -> list[float]:
    return [at for at, where, _ in server.stats()["arrivals"] if where == path]


# retry


def test_five_attempts_are_the_default(enrich: Any, server: Server) -> None:
    outcome = enrich('http.url = "SERVER/status/500"\nretry.base = "1ms"\nbreaker = false')
    (error,) = outcome.errors
    assert (error["kind"], error["attempts"]) == ("http_status", 5)
    assert server.stats()["total"] == outcome.counts["requests"] == 5
    assert outcome.counts["retries"] == outcome.counts["stages"]["x"]["retries"] == 4


def together(stages: dict[str, str]) -> str:
    """A stage that asks all of them at once: settings by name."""
    return "all = [" + ", ".join(f'{{ name = "{k}", {v} }}' for k, v in stages.items()) + "]"


def test_statuses_that_are_asked_again(enrich: Any, server: Server) -> None:
    url = "SERVER/429?status={0}&form=none&times=2&key={0}"
    stage = f'http = {{{{ url = "{url}" }}}}, retry = {{{{ base = "1ms" }}}}'
    statuses = (408, 425, 429, 500, 502, 503, 504, 529)
    outcome = enrich(together({f"s{status}": stage.format(status) for status in statuses}))
    assert (outcome.code, outcome.counts["retries"]) == (0, 16)
    by_source = outcome.counts["stages"].values()
    assert {calls["retries"] for calls in by_source if "requests" in calls} == {2}
    assert server.stats()["total"] == 24


BROKEN = ("reset/before", "close/before", "close/body", "close/chunk", "reset/body", "never")


@pytest.mark.parametrize("client", ["lean", "aiohttp"])
@pytest.mark.parametrize(("http", "attempts"), [("", 3), (", json = { a = 1 }", 1)])
def test_broken_connections(
    enrich: Any, server: Server, client: str, http: str, attempts: int
) -> None:
    """They are tried again; a POST that was sent is not."""
    stage = f"""http = {{ url = "SERVER/%s", client = "{client}"{http} }},
        retry = {{ attempts = 3, base = "1ms" }}, timeout = """.replace("\n", "")
    limits = {path: "0.5s" if path == "never" else "20s" for path in BROKEN}
    stages = {f"s{k}": f"{stage % path}'{limits[path]}'" for k, path in enumerate(BROKEN)}
    (error,) = enrich(together(stages)).errors
    for k, path in enumerate(BROKEN):
        kind = "timeout" if path == "never" else "reset"
        found = error["sources"][f"s{k}"]
        assert (path, found["kind"], found["attempts"]) == (path, kind, attempts)
    assert server.stats()["paths"] == {f"/{path}": attempts for path in BROKEN}


def test_a_refused_connection_is_tried_again(enrich: Any, nobody: str) -> None:
    outcome = enrich(f'http.url = "{nobody}/"\nretry = {{ attempts = 3, base = "1ms" }}')
    (error,) = outcome.errors
    assert (error["kind"], error["attempts"]) == ("connect", 3)


POST = 'http = { url = "SERVER/429?form=none&times=2&status=500", method = "POST"%s }\n'


@pytest.mark.parametrize(
    ("http", "more", "calls"),
    [
        ("", QUICK, 1),
        (', headers = { Idempotency-Key = "{n}" }', QUICK, 3),
        ("", 'retry = { base = "1ms", idempotent = true }', 3),
    ],
)
def test_a_post_after_a_500(enrich: Any, server: Server, http: str, more: str, calls: int) -> None:
    outcome = enrich(POST % http + more)
    assert server.stats()["total"] == calls
    assert (outcome.code == 0) == (calls == 3)


def test_a_post_that_was_not_sent_is(enrich: Any, nobody: str) -> None:
    text = f'http = {{ url = "{nobody}/", json = {{ a = 1 }} }}\n'
    text += 'retry = { attempts = 3, base = "1ms" }'
    assert enrich(text).errors[0]["attempts"] == 3


def test_a_throttled_post_is_repeated(enrich: Any, server: Server) -> None:
    text = 'http = { url = "SERVER/429?form=none&times=2", json = { a = 1 } }\n' + QUICK
    assert (enrich(text).code, server.stats()["total"]) == (0, 3)


def test_throttled_calls_use_up_no_attempts(enrich: Any, server: Server) -> None:
    text = 'http.url = "SERVER/429?form=none&times=9"\nretry = { attempts = 2, base = "1ms" }'
    outcome = enrich(text)
    assert (outcome.code, server.stats()["total"]) == (0, 10)


def test_max_elapsed_bounds_them(enrich: Any, server: Server) -> None:
    text = 'http.url = "SERVER/429?form=none&times=1000000"\n'
    outcome = enrich(text + 'retry = { base = "20ms", max_delay = "20ms", max_elapsed = "300ms" }')
    assert outcome.errors[0]["kind"] == "throttled"
    assert outcome.errors[0]["attempts"] == server.stats()["total"] > 1


@pytest.mark.parametrize("off", ["retry = false", "retry = { attempts = 1 }"])
def test_no_retry(enrich: Any, server: Server, off: str) -> None:
    outcome = enrich(f'http.url = "SERVER/status/500"\n{off}')
    assert (outcome.errors[0]["attempts"], server.stats()["total"]) == (1, 1)


def test_retry_when(enrich: Any, server: Server) -> None:
    """The service puts its errors into a 200."""
    text = 'http.url = "SERVER/429?status=200&form=none&times=2"\n'
    outcome = enrich(text + 'retry = { base = "1ms", when = "status == `200` && body.error" }')
    assert (outcome.code, server.stats()["total"]) == (0, 3)
    assert outcome.results[0]["path"] == "/429"


def test_retry_when_it_stays_so(enrich: Any, server: Server) -> None:
    text = 'http.url = "SERVER/429?status=200&form=none&times=9"\n'
    outcome = enrich(text + 'retry = { attempts = 3, base = "1ms", when = "body.error" }')
    (error,) = outcome.errors
    assert (error["attempts"], server.stats()["total"]) == (3, 3)


def test_a_stale_connection_is_reopened_and_is_no_attempt(enrich: Any, server: Server) -> None:
    outcome = enrich('http.url = "SERVER/stale"\nretry = false', *TEN, args=("-j", "1"))
    assert (outcome.code, outcome.counts["retries"]) == (0, 0)
    assert server.stats()["total"] == 10


# Retry-After


FORMS = [
    ("seconds", "1", 1), ("decimal", "0.4", 0.4), ("ms", "0.4", 0.4), ("date", "1", 1),
    ("reset", "0.1", 0.1), ("reset-delta", "1", 1), ("date", "1&skew=-5000", 1),
    ("decimal", "0.4&status=503", 0.4), ("ms", "0.4&status=529", 0.4),
]  # fmt: skip


def test_nobody_calls_before_the_time(run: Any, pipeline: Any) -> None:
    """With one place the others ask only after the first was told to wait, and wait too.

    All forms at the same time, each with a server of its own.
    """

    def calls(k: int) -> tuple[bytes, list[float]]:
        form, after, _ = FORMS[k]
        with Server(tls=False) as own:
            url = f"{own.url}/429?form={form}&after={after}"
            file = pipeline(f'http.url = "{url}"', name=f"p{k}.toml")
            done = run("-c", file, "-j", "1", stdin=b'{"n":1}\n' * 4)
            return done.stdout, arrivals(own, "/429")

    with ThreadPoolExecutor(len(FORMS)) as pool:
        for form, (stdout, times) in zip(FORMS, pool.map(calls, range(len(FORMS))), strict=True):
            assert (form, stdout.count(b'"x":{"path"')) == (form, 4)
            first, *others = times
            assert (form, len(others)) == (form, 4)
            assert (form, min(others) - first >= form[2]) == (form, True)


def test_retry_after_is_heeded_on_throttling_only(enrich: Any, server: Server) -> None:
    """A 500 with Retry-After: an hour. The test would time out."""
    text = f'http.url = "SERVER/429?status=500&form=seconds&after=3600"\n{QUICK}'
    assert (enrich(text).code, server.stats()["total"]) == (0, 2)


def test_a_pause_is_for_its_own_stage_and_target(enrich: Any, server: Server) -> None:
    """While one target pauses for a second, the other is called for all records."""
    text = """all = [
        { name = "a", http = { url = "SERVER/429?after=1" } },
        { name = "b", http = { url = "SERVER/ok" } } ]"""
    outcome = enrich(text, *TEN, args=("-j", "32"))
    assert outcome.code == 0
    assert max(arrivals(server, "/ok")) < arrivals(server, "/429")[-1]


@pytest.mark.parametrize("more", ["", 'breaker.max_wait = "1h"\ndeadline = "0.3s"'])
def test_longer_than_anybody_waits(enrich: Any, run: Any, folder: Path, more: str) -> None:
    """Past max_wait the run ends with 69; a deadline of the record's own ends only the record."""
    outcome = enrich(
        f'http.url = "SERVER/429?after=1000&times=99"\n{more}', *TEN,
        args=("--on-error", "annotate", "--dead-letter", "dead", "-j", "1"),
    )  # fmt: skip
    if more:
        assert (outcome.code, outcome.counts["failed"], outcome.counts["received"]) == (3, 10, 10)
        return
    assert outcome.code == 69
    assert b"1000" in outcome.stderr
    assert b"max_wait" in outcome.stderr
    saved = [json.loads(line) for line in run("replay", "dead").stdout.splitlines()]
    finished = [{"n": record["n"]} for record in outcome.out]
    read = outcome.counts["received"]
    assert sorted(each["n"] for each in finished + saved) == list(range(read))


# circuit breaker


def test_records_wait_for_a_target_that_is_down(enrich: Any, server: Server) -> None:
    text = """http.url = "SERVER/outage?from=5&for=1"
        breaker = { consecutive = 3, open = "0.2s" }\nretry = { attempts = 8 }"""
    outcome = enrich(text, *[{"n": n} for n in range(200)], args=("-j", "8"))
    assert (outcome.code, outcome.counts["ok"]) == (0, 200)
    assert outcome.counts["circuit_opened"] >= 1
    refused = [status for _, _, status in server.stats()["arrivals"] if status == 503]
    # Half of 20 calls failed at the latest; 7 more were on the way, then three probes at a time.
    assert 3 <= len(refused) <= 15 + 7 + 3 * 5


def test_the_breaker_is_on_by_default(enrich: Any, server: Server) -> None:
    """Ten in a row open it; nobody is called any more, so that max_wait ends the run."""
    text = 'http.url = "SERVER/status/500"\nretry = false\nbreaker.max_wait = "0.3s"'
    outcome = enrich(text, *[{"n": n} for n in range(50)], args=("-j", "1"))
    assert (outcome.code, server.stats()["total"]) == (69, 10)
    assert outcome.counts["failed"] == 10


def test_other_statuses_do_not_open_it(enrich: Any, server: Server) -> None:
    text = 'http.url = "SERVER/status/{s}"\nbreaker = { consecutive = 2 }\nretry = false'
    given = [{"s": status} for status in (400, 401, 404, 403, 422, 429) for _ in range(5)]
    outcome = enrich(text, *given)
    assert (outcome.counts["circuit_opened"], server.stats()["total"]) == (0, 30)


def test_max_wait_ends_the_run_and_every_record_is_accounted_for(
    enrich: Any, run: Any, nobody: str
) -> None:
    text = f'http.url = "{nobody}/"\n'
    text += 'breaker = { consecutive = 2, open = "50ms", max_wait = "500ms" }\n'
    given = [{"n": n} for n in range(30)]
    outcome = enrich(text + QUICK, *given, args=("--dead-letter", "dead", "-j", "4"))
    counts = outcome.counts
    assert outcome.code == 69
    assert b"max_wait" in outcome.stderr
    assert counts["ok"] == 0
    assert counts["unprocessed"] > 0
    saved = [json.loads(line) for line in run("replay", "dead").stdout.splitlines()]
    finished = [{"n": record["n"]} for record in outcome.out]
    assert sorted(each["n"] for each in finished + saved) == list(range(counts["received"]))


def test_an_open_breaker_leaves_it_to_the_fallback(enrich: Any, server: Server) -> None:
    text = """http.url = "SERVER/status/500"\nretry = false\nbreaker.consecutive = 3
        fallback = [{ value = { none = true } }]"""
    outcome = enrich(text, *[{"n": n} for n in range(50)], args=("-j", "1"))
    assert (outcome.code, outcome.results) == (0, [{"none": True}] * 50)
    assert server.stats()["total"] == 3


# rate


def test_rate(enrich: Any, server: Server) -> None:
    """A busy machine bunches arrivals, but makes no run shorter."""
    given = [{"n": n} for n in range(45)]
    outcome = enrich('http.url = "SERVER/ok"\nrate = "30/s"', *given)
    assert outcome.counts["ok"] == 45
    assert outcome.counts["seconds"] >= (45 - 3) / 30 - CLOCK_S  # the first 3 at once


def test_every_attempt_pays(enrich: Any, server: Server) -> None:
    text = 'http.url = "SERVER/status/500"\nrate = "20/s"\nbreaker = false\n' + QUICK
    outcome = enrich(text, *TEN[:3])
    assert outcome.counts["requests"] == 15
    assert outcome.counts["seconds"] >= (15 - 2) / 20 - CLOCK_S  # the first 2 at once


def test_a_strict_rate(enrich: Any, server: Server) -> None:
    text = 'http.url = "SERVER/ok"\nrate = { limit = "10/s", strict = true }'
    outcome = enrich(text, *[{"n": n} for n in range(21)])
    assert outcome.code == 0
    assert outcome.counts["seconds"] >= 2 - CLOCK_S  # 10 in each second


def test_rate_of_the_command_line(enrich: Any, server: Server) -> None:
    outcome = enrich('http.url = "SERVER/ok"', *TEN, args=("--rate", "20/s"))
    assert (outcome.code, outcome.counts["rate_limited"] > 0) == (0, True)
    assert outcome.counts["seconds"] >= (10 - 2) / 20 - CLOCK_S  # the first 2 at once


# concurrency


def test_fixed_concurrency(enrich: Any, server: Server) -> None:
    enrich('http.url = "SERVER/delay?until=3&s=0.2"\nconcurrency = 3', *TEN[:9])
    assert server.stats()["max_in_progress"]["overall"] == 3


def test_adaptive_concurrency(enrich: Any, server: Server) -> None:
    text = """http.url = "SERVER/capacity?limit=12&s=0.05"
        concurrency = { min = 1, max = 60, start = 2 }\nretry = { base = "50ms" }"""
    outcome = enrich(text, *[{"n": n} for n in range(200)])
    assert (outcome.code, outcome.counts["ok"]) == (0, 200)
    arrived = server.stats()["arrivals"]
    assert server.stats()["max_in_progress"]["overall"] < 40
    assert 429 in {status for _, _, status in arrived}  # it grew beyond what it began with
    assert len(arrived) < 400  # and learnt


def test_concurrency_rises_to_what_a_stage_wants(enrich: Any, server: Server) -> None:
    text = 'http.url = "SERVER/delay?until=80"\nconcurrency = 80'
    enrich(text, *[{"n": n} for n in range(80)])
    assert server.stats()["max_in_progress"]["overall"] == 80


def test_a_lower_concurrency_is_an_error(enrich: Any, server: Server) -> None:
    outcome = enrich('http.url = "SERVER/ok"\nconcurrency = { max = 100 }', args=("-j", "10"))
    assert outcome.code in (2, 78)
    assert b"10 is less than the 100 of stage x" in outcome.stderr
    assert server.stats()["total"] == 0


def test_a_waiting_record_lends_its_place(enrich: Any, user: Path) -> None:
    """The only place is lent to the second record, for which the first one waits."""
    text = 'python = "user.py:waits"\nretry = { attempts = 100, base = "20ms", max_delay = "20ms" }'
    outcome = enrich(text, {"n": 0}, {"n": 1}, args=("-j", "1"))
    assert (outcome.code, outcome.counts["ok"]) == (0, 2)


def test_a_source_that_waits_lends_no_place_that_it_has_not(enrich: Any, server: Server) -> None:
    """Beside one that waits for its rate the other is asked by `-j` records at once, in time."""
    slow = 'http = { url = "SERVER/ok?s=0.1" }, retry = false, timeout = "10s"'
    rated = 'http = { url = "SERVER/ok" }, rate = "20/s"'
    sources = together({"slow": slow, "rated": rated})
    outcome = enrich(sources, *[{"n": n} for n in range(30)], args=("-j", "2"))
    assert (outcome.code, outcome.counts["ok"]) == (0, 30)
    assert server.stats()["max_in_progress"]["overall"] <= 2


# cache


def test_the_cache_asks_once(enrich: Any, server: Server) -> None:
    text = 'http.url = "SERVER/company/{d}?s=0.02"\ncache = { ttl = "1h" }'
    given = [{"d": f"d{n % 10}", "n": n} for n in range(300)]
    outcome = enrich(text, *given)
    assert [result["name"] for result in outcome.results] == [each["d"] for each in given]
    counts = outcome.counts
    assert server.stats()["total"] == counts["requests"] == 10
    assert counts["cache_hits"] + counts["coalesced"] == 290


def test_equal_calls_in_flight_are_one(enrich: Any, server: Server) -> None:
    outcome = enrich('http.url = "SERVER/ok?s=0.5"\ncache = "1h"', *TEN)
    assert server.stats()["total"] == 1
    counts = outcome.counts
    assert counts["coalesced"] >= 1
    assert counts["coalesced"] + counts["cache_hits"] == 9
    assert outcome.results == [{"path": "/ok", "n": 1}] * 10


def test_equal_calls_fail_together(enrich: Any, server: Server) -> None:
    """A failure is for those who waited for it, and is not kept."""
    text = 'http.url = "SERVER/ok?s=0.5&x={x}"\ncache = "1h"\ntimeout = "0.2s"\nretry = false'
    outcome = enrich(text, *[{"x": "1"}] * 5)
    assert [error["kind"] for error in outcome.errors] == ["timeout"] * 5


def test_what_the_record_changes_is_in_the_key(enrich: Any, server: Server) -> None:
    text = """http.url = "SERVER/echo?a={a}"\nhttp.headers = { X-B = "{b}" }\nhttp.body = "{c}"
        cache = "1h"\nretry.idempotent = true"""
    given = [
        {"a": a, "b": b, "c": c, "n": n} for a in "12" for b in "12" for c in "12" for n in "12"
    ]
    enrich(text, *given)
    assert server.stats()["total"] == 8


def test_two_runs_share_a_file(enrich: Any, server: Server) -> None:
    text = 'http.url = "SERVER/company/{d}"\ncache = { ttl = "1h", path = "answers.db" }'
    given = [{"d": f"d{n}"} for n in range(5)]
    first = enrich(text, *given)
    second = enrich(text, *given, {"d": "new"})
    assert second.results[:5] == first.results
    assert server.stats()["total"] == 6
    assert second.counts["cache_hits"] == 5


def test_a_rotated_credential_keeps_the_cache(enrich: Any, server: Server) -> None:
    """The key has the name of the credential, never its value."""
    text = """http = { url = "SERVER/ok", auth = { bearer = "${KEY}" } }
        cache = { ttl = "1h", path = "answers.db", share = "credential-name" }"""
    enrich(text, KEY="january-key")
    assert enrich(text, KEY="february-key").counts["cache_hits"] == 1


def test_another_credential_is_another_key(enrich: Any, server: Server) -> None:
    text = """http = { url = "SERVER/ok", auth = { bearer = "${NAME}" } }
        cache = { ttl = "1h", path = "answers.db" }"""
    for name in ("A_KEY", "B_KEY"):
        enrich(text.replace("NAME", name), A_KEY="one-key", B_KEY="another")
    assert server.stats()["total"] == 2


def test_what_expired_is_asked_again(enrich: Any, server: Server) -> None:
    text = 'http.url = "SERVER/ok"\ncache = { ttl = "1ms", path = "answers.db" }'
    assert [enrich(text).results[0]["n"] for _ in range(2)] == [1, 2]


@pytest.mark.parametrize(("negative", "calls"), [("1h", 1), ("1ms", 2)])
def test_a_404_is_kept_for_a_time_of_its_own(
    enrich: Any, server: Server, negative: str, calls: int
) -> None:
    text = f"""http.url = "SERVER/status/404"
        cache = {{ ttl = "1h", negative_ttl = "{negative}", path = "answers.db" }}"""
    for _ in range(2):
        assert enrich(text).out == [{"n": 1, "x": None}]
    assert server.stats()["total"] == calls


def test_null_and_nothing_are_kept_apart(enrich: Any, server: Server) -> None:
    text = 'cache = { path = "answers.db" }\nhttp = { url = "SERVER/status/404", missing = "skip" }'
    for _ in range(2):
        assert enrich(text).out == [{"n": 1}]
    assert enrich(text.replace("skip", "null")).out == [{"n": 1, "x": None}]
    assert server.stats()["total"] == 2


@pytest.mark.parametrize("status", [400, 429, 500])
def test_failures_are_not_kept(enrich: Any, server: Server, status: int) -> None:
    text = f"""http.url = "SERVER/429?status={status}&form=none"\nretry = false
        cache = {{ path = "answers.db" }}"""
    codes = [enrich(text).code for _ in range(2)]
    calls = 2
    if status == 429 and codes[0] == 0:
        pytest.fail("retry = false, and it was repeated")
    assert (codes, server.stats()["total"]) == ([3, 0], calls)


def test_rather_stale_than_nothing(enrich: Any, server: Server) -> None:
    text = """http.url = "SERVER/outage?from=1&for=1000"\nretry = false
        cache = { ttl = "1ms", path = "answers.db", stale_if_error = true }"""
    fresh = enrich(text).results[0]
    assert enrich(text).results == [fresh | {"_stale": True}]
    assert server.stats()["total"] == 2


def test_rather_stale_than_late(enrich: Any, server: Server) -> None:
    """A deadline ends the wait of who asks, and of who would have had the same answer."""
    text = """http.url = "SERVER/ok?n={n}"
        cache = { ttl = "1ms", path = "answers.db", stale_if_error = true }\n"""
    enrich(text, *TEN[:2])
    outcome = enrich(text + 'rate = "1/min"\ndeadline = "500ms"', *TEN[:2], TEN[1])
    assert outcome.code == 0
    assert [result.get("_stale") for result in outcome.results[1:]] == [True, True]
    assert server.stats()["total"] <= 3


def test_a_cache_that_cannot_be(enrich: Any, folder: Path, server: Server) -> None:
    (folder / "answers.db").write_bytes(b"no database" * 1000)
    outcome = enrich('http.url = "SERVER/ok"\ncache = { path = "answers.db" }')
    assert outcome.code == 73
    assert b"answers.db" in outcome.stderr


def test_cache_and_retries_of_the_command_line(enrich: Any, server: Server) -> None:
    enrich('http.url = "SERVER/ok"', *TEN, args=("--cache", "1h"))
    assert server.stats()["total"] == 1
    server.reset()
    text = 'http.url = "SERVER/status/500"\nretry.base = "1ms"'
    for retries in (0, 2):
        outcome = enrich(text, args=("--retries", str(retries)))
        assert outcome.errors[0]["attempts"] == retries + 1
    assert server.stats()["total"] == 4


# fallback


def test_the_next_one_answers(enrich: Any, user: Path, server: Server) -> None:
    text = """mark = true\nhttp.url = "SERVER/{a}"\nretry = false
        fallback = [{ http = { url = "SERVER/company/{b}" } }, { python = "user.py:other" },
                    { value = { v = 1 } }]"""
    text = text.replace("SERVER/{a}", "SERVER/status/{a}?body=%7B%22a%22%3A1%7D")
    given = [
        {"a": 200, "b": "c", "n": 1},
        {"a": 400, "b": "c", "n": 2},
        {"a": 400, "b": "..", "n": 3},
    ]
    outcome = enrich(text, *given)
    first, second, third = outcome.results
    assert (first["a"], first["_source"]) == (1, f"{server.url}/status/{{a}}")
    assert (second["name"], second["_source"]) == ("c", f"{server.url}/company/{{b}}")
    assert third == {"other": 3, "_source": "user.py:other"}
    assert outcome.counts["stages"]["x"]["fallbacks"] == 3


def test_the_last_resort(enrich: Any, user: Path) -> None:
    text = """http.url = "SERVER/status/400"
        fallback = [{ python = "user.py:fails" }, { value = [1, { deep = 2.5 }] }]"""
    outcome = enrich(text, *TEN)
    assert (outcome.code, outcome.results) == (0, [[1, {"deep": 2.5}]] * 10)


def test_when_all_fail(enrich: Any, user: Path) -> None:
    text = 'http.url = "SERVER/status/400"\nfallback = [{ python = "user.py:fails" }]'
    (error,) = enrich(text).errors
    assert (error["kind"], "not me" in error["message"]) == ("exception", True)


def test_a_fallback_is_not_cached(enrich: Any, server: Server) -> None:
    text = """http.url = "SERVER/429?status=400&form=none"\nfallback = [{ value = 1 }]
        cache = { path = "answers.db" }"""
    first, second = (enrich(text).results[0] for _ in range(2))
    assert (first, second["path"]) == (1, "/429")


def test_without_a_mark_nothing_is_added(enrich: Any) -> None:
    text = 'http.url = "SERVER/status/400"\nfallback = [{ value = { v = 1 } }]'
    assert enrich(text).results == [{"v": 1}]


# time limits


def test_timeout(enrich: Any, server: Server) -> None:
    text = 'http.url = "SERVER/never"\ntimeout = "0.5s"\nretry = { attempts = 2, base = "1ms" }'
    (error,) = enrich(text).errors
    assert (error["kind"], error["attempts"], server.stats()["total"]) == ("timeout", 2, 2)


def test_deadline(enrich: Any, server: Server) -> None:
    """Of a call, of a pause that would be longer, and of one that the target asks for."""
    text = """all = [
        { name = "a", deadline = "1s", http = { url = "SERVER/never" } },
        { name = "b", deadline = "1s", retry = { base = "900s", max_delay = "900s" }, FAILS },
        { name = "c", deadline = "1s", http = { url = "SERVER/429?after=60" } } ]"""
    text = text.replace("FAILS", 'http = { url = "SERVER/status/500" }')
    (error,) = enrich(text).errors
    kinds = {name: each["kind"] for name, each in error["sources"].items()}
    assert kinds["a"] == "deadline"
    assert kinds["b"] in ("http_status", "deadline")
    assert kinds["c"] in ("throttled", "deadline")
    assert server.stats()["total"] == 3


# several sources


def test_only_what_failed_is_asked_again(
    enrich: Any, run: Any, folder: Path, server: Server
) -> None:
    text = """all = [
        { name = "a", http = { url = "SERVER/company/{d}" } },
        { name = "b", http = { url = "SERVER/429?status=400&form=none&key={d}&times={times}" } },
        { name = "c", when = "d == 'y'", http = { url = "SERVER/ok" } } ]"""
    given = [{"d": "x", "times": 1}, {"d": "y", "times": 0}, {"d": "z", "times": 1}]
    first = enrich(text, *given)
    assert (first.code, first.counts["failed"]) == (3, 2)
    good = [record for record in first.out if "_error" not in record]
    assert [record["d"] for record in good] == ["y"]
    assert set(good[0]) == {"d", "times", "a", "b", "c"}
    for record in first.out[::2]:
        assert record["a"]["name"] == record["d"]
        assert list(record["_error"]["sources"]) == ["b"]
        assert record["_error"]["sources"]["b"]["kind"] == "http_status"
    assert server.stats()["paths"] == {"/company/x": 1, "/company/y": 1, "/company/z": 1,
                                       "/429": 3, "/ok": 1}  # fmt: skip

    (folder / "out.jsonl").write_bytes(first.stdout)
    again = run("replay", "--failed-only", "out.jsonl")
    assert again.returncode == 0
    second = enrich(text, again.stdout, args=("--incoming-errors", "redo"))
    assert second.code == 0
    assert server.stats()["paths"] == {"/company/x": 1, "/company/y": 1, "/company/z": 1,
                                       "/429": 5, "/ok": 1}  # fmt: skip
    assert [record["d"] for record in second.out] == ["x", "z"]
    for record in second.out:
        assert set(record) == {"d", "times", "a", "b"}
        assert record["a"]["name"] == record["d"]


def test_replay_without_the_flag_gives_the_originals(enrich: Any, run: Any, folder: Path) -> None:
    text = """all = [ { name = "a", http = { url = "SERVER/ok" } },
        { name = "b", http = { url = "SERVER/status/400" } } ]"""
    line = b'{ "d" : 1.50,"e":[] }\n'
    (folder / "out.jsonl").write_bytes(enrich(text, line).stdout)
    assert run("replay", "out.jsonl").stdout == line


# batch


def test_a_batch_is_one_request(enrich: Any, server: Server) -> None:
    text = (
        'http = { url = "SERVER/bulk", json = { id = "{n}" } }\nbatch = { size = 10, wait = "1s" }'
    )
    outcome = enrich(text, *[{"n": n} for n in range(25)])
    assert [result["got"] for result in outcome.results] == [{"id": n} for n in range(25)]
    assert server.stats()["total"] == outcome.counts["requests"] == 3


def test_a_batch_by_key(enrich: Any, server: Server) -> None:
    text = """http = { url = "SERVER/bulk/shuffled", json = { id = "{n}" } }
        batch = { size = 10, wait = "1s", key = "id" }"""
    outcome = enrich(text, *[{"n": n} for n in range(20)])
    assert [result["id"] for result in outcome.results] == list(range(20))
    assert server.stats()["total"] == 2


def test_a_batch_with_answers_missing(enrich: Any, server: Server) -> None:
    """By position nobody knows whose answer is missing; by key all others have theirs."""
    text = 'http = { url = "SERVER/bulk/short", json = { id = "{n}" } }\n' + FIVE
    outcome = enrich(text, *TEN[:5])
    assert [error["kind"] for error in outcome.errors] == ["bad_answer"] * 5
    text = """http = { url = "SERVER/bulk/short", json = { i = "{n}" } }
        batch = { size = 5, wait = "1s", key = "i" }"""
    outcome = enrich(text, *TEN[:5])
    assert [error["kind"] for error in outcome.errors] == ["bad_answer"]
    assert [result["i"] for result in outcome.results[:-1]] == [0, 1, 2, 3]


def test_a_batch_that_fails(enrich: Any, server: Server) -> None:
    """It is a POST: repeated only if that does no harm."""
    text = 'http = { url = "SERVER/status/500", json = "{n}" }\n' + FIVE + "\nretry = "
    outcome = enrich(text + '{ base = "1ms" }', *TEN[:5])
    assert [(e["kind"], e["attempts"]) for e in outcome.errors] == [("http_status", 1)] * 5
    outcome = enrich(text + '{ base = "1ms", idempotent = true, attempts = 3 }', *TEN[:5])
    assert [(e["kind"], e["attempts"]) for e in outcome.errors] == [("http_status", 3)] * 5
    assert server.stats()["total"] == 4


def test_a_batch_with_fields_in_its_url_is_an_error(enrich: Any) -> None:
    outcome = enrich('http = { url = "SERVER/{n}", json = "{n}" }\nbatch = 5')
    assert outcome.code == 78


def test_a_batch_with_a_cache(enrich: Any, server: Server) -> None:
    text = 'http = { url = "SERVER/bulk", json = "{n}" }\ncache = { path = "a.db" }\n'
    text += 'batch = { size = 3, wait = "1s" }'
    enrich(text, *TEN[:3])
    outcome = enrich(text, *TEN[:6])
    assert [result["got"] for result in outcome.results] == list(range(6))
    assert server.stats()["total"] == 2


# python


def test_python_is_tried_again_where_it_says_so(enrich: Any, user: Path) -> None:
    outcome = enrich('python = "user.py:flaky"\nretry.base = "1ms"', {"n": 0})
    assert (outcome.results, outcome.counts["retries"]) == ([{"ok": 3}], 2)
    (user / "flaky").unlink()
    outcome = enrich('python = "user.py:flaky"\nretry.base = "1ms"', {"n": 1})
    assert outcome.results == [{"ok": 3}]
    outcome = enrich('python = "user.py:wrong"\nretry.base = "1ms"', {"n": 1})
    assert (outcome.errors[0]["kind"], len(notes(user, "wrong"))) == ("exception", 1)


def test_python_is_not_tried_again_without_it(enrich: Any, user: Path) -> None:
    enrich('python = "user.py:flaky"', {"n": 0})
    assert len(notes(user, "flaky")) == 1


def test_python_asks_for_a_retry(enrich: Any, user: Path) -> None:
    outcome = enrich('python = "user.py:asks"\nretry = {}', *TEN[:3], args=("-j", "1"))
    assert (outcome.code, outcome.counts["ok"]) == (0, 3)
    first, *others = [at for at, _ in notes(user, "asks")]
    assert min(others) - first >= 0.5


def test_every_attempt_gets_the_record_as_it_came(enrich: Any, user: Path) -> None:
    outcome = enrich('python = "user.py:spoils"\nretry.base = "1ms"', {"n": 5})
    assert outcome.out == [{"n": 5, "x": {"given": 5}}]


def test_python_with_a_cache(enrich: Any, user: Path) -> None:
    outcome = enrich('python = "user.py:simple"\ncache = "1h"', *[{"k": n % 3} for n in range(30)])
    assert [result["ok"] for result in outcome.results] == [n % 3 for n in range(30)]
    assert len(notes(user, "simple")) == 3


def test_python_with_a_rate(enrich: Any, user: Path) -> None:
    outcome = enrich('python = "user.py:simple"\nrate = "20/s"', *[{"k": n} for n in range(10)])
    assert outcome.code == 0
    assert outcome.counts["seconds"] >= (10 - 2) / 20 - CLOCK_S  # the first 2 at once


def test_python_with_a_breaker(enrich: Any, user: Path) -> None:
    text = """python = "user.py:down"\nretry = { base = "1ms", attempts = 10 }
        breaker = { consecutive = 3, open = "50ms" }"""
    outcome = enrich(text, *TEN)
    assert (outcome.code, outcome.counts["ok"]) == (0, 10)
    assert outcome.counts["circuit_opened"] >= 1


def test_a_transform_has_no_policies(enrich: Any, folder: Path) -> None:
    (folder / "user.py").write_text(
        "import streamproc\n@streamproc.transform\ndef t(record):\n    return record\n"
    )
    assert enrich('python = "user.py:t"\nretry = {}').code == 78
