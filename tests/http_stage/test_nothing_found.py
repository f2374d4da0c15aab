"""404s are answers, and are told: in both summaries, and when there was nothing else."""

from typing import Any

import pytest
from servers.running import Server

pytestmark = pytest.mark.forked


def test_404s_stand_in_the_summary(enrich: Any, server: Server) -> None:
    text = 'http = { url = "SERVER/status/{n}" }'
    outcome = enrich(text, {"n": 404}, {"n": 200}, {"n": 404})
    assert (outcome.code, outcome.counts["stages"]["x"]["not_found"]) == (0, 2)
    assert b"404, not found" not in outcome.stderr
    outcome = enrich(text, {"n": 404}, {"n": 200}, args=("--summary", "text"))
    assert outcome.stderr.endswith(b"; x: 1 not found (404)\n")


def test_nothing_but_404s_is_told(enrich: Any, server: Server) -> None:
    """It may be right, so the exit code is 0."""
    text = 'http = { url = "SERVER/status/{n}" }'
    for workers in ("1", "2"):
        outcome = enrich(text, *[{"n": 404}] * 5, args=("-w", workers))
        assert outcome.code == 0
        assert outcome.stderr.startswith(
            b"streamproc: stage x: all 5 answers were 404, not found: see its URL\n"
        )
    outcome = enrich(text, {"n": 404}, args=("--summary", "none"))
    assert (outcome.code, outcome.stderr) == (0, b"")
