"""A number that is JSON as it stands, and none any more once decoded: the service's fault."""

from __future__ import annotations

from typing import Any

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
