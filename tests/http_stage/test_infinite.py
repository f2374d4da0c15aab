"""A number that is JSON as it stands, and none any more once decoded: whose fault it is."""

from __future__ import annotations

from typing import Any

import pytest
from servers.running import Server

pytestmark = pytest.mark.forked
BAD = 'http = { url = "SERVER/infinite" }'


def test_it_is_a_bad_answer(enrich: Any) -> None:
    outcome = enrich(BAD)
    (error,) = outcome.errors
    assert (error["kind"], outcome.code) == ("bad_answer", 3)
    assert "greater than a double can be" in error["message"]


def test_it_takes_the_fallback(enrich: Any) -> None:
    outcome = enrich(f"{BAD}\nfallback = [ {{ value = {{ none = true }} }} ]")
    assert (outcome.code, outcome.results[0]["none"]) == (0, True)


def test_other_sources_are_kept(enrich: Any) -> None:
    good = 'http = { url = "SERVER/list" }'
    outcome = enrich(f'all = [ {{ name = "bad", {BAD} }}, {{ name = "good", {good} }} ]')
    (error,) = outcome.errors
    assert error["sources"]["bad"]["kind"] == "bad_answer"
    assert "good" not in error["sources"]


@pytest.mark.parametrize(
    "http",
    [
        'url = "SERVER/echo?q={n}"',
        'url = "SERVER/echo", json = { n = "{n}" }',
        'url = "SERVER/echo", json = { all = "{all}" }',
        'url = "SERVER/echo", body = "<{n}>"',
    ],
)
def test_a_record_that_has_one_is_told_so(enrich: Any, server: Server, http: str) -> None:
    outcome = enrich(f"http = {{ {http} }}", b'{"n": 1e400, "all": [{"n": -1e400}]}\n')
    (error,) = outcome.errors
    assert (error["kind"], outcome.code) == ("bad_number", 3)
    assert "greater than a double can be" in error["message"]
    assert server.stats()["total"] == 0


def test_it_costs_its_neighbours_in_a_batch_nothing(enrich: Any, server: Server) -> None:
    """Each item of the list is written for itself, before it joins the others."""
    text = 'http = { url = "SERVER/bulk", json = { n = "{n}" } }\nbatch = { size = 2, wait = "1m" }'
    outcome = enrich(text, b'{"n": 1}\n', b'{"n": [1e400]}\n', b'{"n": 3}\n')
    first, failed, last = outcome.results
    assert (first["got"], failed, last["got"]) == ({"n": 1}, None, {"n": 3})
    assert [error["kind"] for error in outcome.errors] == ["bad_number"]
    assert server.stats()["total"] == 1
