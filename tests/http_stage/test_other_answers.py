"""Where there is another answer nobody waits for a target that is away, and no run ends."""

from __future__ import annotations

from typing import Any

import pytest
from servers.running import Server

pytestmark = pytest.mark.forked
AWAY = "SERVER/429?after=1000&times=9999"  # for longer than anybody waits
TEN = [{"n": n} for n in range(10)]


def test_who_answers_instead_is_not_waited_for_where_another_one_follows(
    enrich: Any, server: Server
) -> None:
    text = f"""http.url = "SERVER/status/400"
        fallback = [{{ http = {{ url = "{AWAY}" }} }}, {{ value = 1 }}]"""
    outcome = enrich(text, *TEN)
    assert (outcome.code, outcome.results) == (0, [1] * 10)


def test_the_last_one_is(enrich: Any, server: Server) -> None:
    """For as long as the breaker of the stage says: there is no other place to say it."""
    text = f"""http.url = "SERVER/status/400"\nbreaker.max_wait = "600s"
        fallback = [{{ http = {{ url = "{AWAY}" }} }}]"""
    outcome = enrich(text, *TEN)
    assert outcome.code == 69
    assert b"longer than breaker.max_wait = 600 s" in outcome.stderr


@pytest.mark.parametrize("after", ["200", "1000"])
def test_a_long_pause_is_not_waited_for_where_there_are_old_answers(
    enrich: Any, server: Server, after: str
) -> None:
    """One record that has none is reason enough to wait, or to end the run."""
    text = f"""http.url = "SERVER/outage?key={{n}}&from=1&for=1000&after={after}"
        cache = {{ ttl = "1ms", path = "answers.db", stale_if_error = true }}"""
    assert [each["path"] for each in enrich(text, *TEN).results] == ["/outage"] * 10
    outcome = enrich(text, *TEN)
    assert (outcome.code, [each["_stale"] for each in outcome.results]) == (0, [True] * 10)
    if after == "1000":
        assert enrich(text, *TEN, {"n": 99}, args=("-j", "1")).code == 69
