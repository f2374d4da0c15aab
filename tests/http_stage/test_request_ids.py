"""`request_id = true`: a service is told which record it is asked for."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from streamproc.attendance import Watch
from streamproc.enrichers.http import HttpEnricher
from streamproc.enrichers.http_request import RequestBuilder
from streamproc.enrichers.http_settings import HttpSettings
from streamproc.http.contract import Response
from streamproc.http.template import Template
from tests.http_stage.conftest import Enrich, Outcome

pytestmark = pytest.mark.forked
ECHO = 'http.url = "SERVER/echo?n={n}"\nrequest_id = true\n'


def ids(outcome: Outcome) -> list[list[str]]:
    """The X-Request-Id lines of each request."""
    return [
        [value for name, value in echo["headers"] if name.lower() == "x-request-id"]
        for echo in outcome.results
    ]


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("more", ["", "cache.ttl = 60\n", "retry = false\nbreaker = false\n"])
def test_each_request_has_the_id_of_its_record(enrich: Enrich, workers: str, more: str) -> None:
    """Also one that is shared by equal calls, and one that a worker makes."""
    given = [{"n": n} for n in range(5)]
    outcome = enrich(ECHO + more, *given, args=("--run-id", "job.7", "-w", workers))
    assert ids(outcome) == [[f"job.7:<stdin>:{line}"] for line in range(1, 6)]


def test_without_it_there_is_none(enrich: Enrich) -> None:
    assert ids(enrich(ECHO.replace("true", "false"))) == [[]]


def test_an_attempt_that_is_repeated_has_it_once() -> None:
    """A retry is the same call: no second line is added to its headers."""
    seen: list[bytes] = []

    class Client:
        async def send(self, request: Any) -> Response:
            seen.append(request.headers)
            return Response(200, [], b"{}")

    async def main() -> None:
        builder = RequestBuilder(HttpSettings(url=Template.parse("http://a/")), "x")
        client, visit = cast("Any", Client()), cast("Any", SimpleNamespace(record_id="r:f:1"))
        enricher = HttpEnricher(builder, client, Watch(), with_id=True)
        call = builder.build({})
        assert call is not None
        for _ in range(2):
            await enricher.call(call, visit)

    asyncio.run(main())
    assert [each.count(b"X-Request-Id: r:f:1\r\n") for each in seen] == [1, 1]


def test_a_failure_has_the_same_one(enrich: Enrich) -> None:
    text = 'http.url = "SERVER/status/404"\nhttp.missing = "fail"\nrequest_id = true\n'
    (error,) = enrich(text).errors
    assert error["id"] == "<stdin>:1"


def test_a_source_of_several_and_a_fallback_have_it(enrich: Enrich) -> None:
    own = '{ name = "a", http = { url = "SERVER/echo" }, request_id = true }'
    other = (
        '{ name = "b", http = { url = "SERVER/status/500" }, request_id = true, retry = false, '
        'fallback = [ { http = { url = "SERVER/echo" } } ] }'
    )
    text = f'[[stage]]\nname = "x"\nall = [{own}, {other}]\n'
    (record,) = enrich(text).out
    for name in ("a", "b"):
        headers = {key.lower(): value for key, value in record[name]["headers"]}
        assert headers["x-request-id"] == "<stdin>:1"


def test_equal_calls_are_one_with_it_too(enrich: Enrich) -> None:
    """It is no part of what a cache compares."""
    text = 'http.url = "SERVER/echo"\nrequest_id = true\ncache.ttl = 60\n'
    outcome = enrich(text, {"n": 1}, {"n": 2}, {"n": 3})
    assert outcome.counts["requests"] == 1
    assert len({each for (each,) in ids(outcome)}) == 1


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('builtin = "leads"', b"stage[0].request_id: only an http stage sends it"),
        (
            'http = { url = "http://a/", headers = { x-request-id = "1" } }',
            b"a header X-Request-Id",
        ),
        ('http = { url = "http://a/", json = "{n}" }\nbatch = 5', b"one request for many records"),
    ],
)
def test_where_it_would_mean_nothing(run: Any, pipeline: Any, table: str, said: bytes) -> None:
    done = run("check", pipeline(f"{table}\nrequest_id = true"))
    assert done.returncode == 78
    assert said in done.stderr
