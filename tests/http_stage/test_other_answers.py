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
