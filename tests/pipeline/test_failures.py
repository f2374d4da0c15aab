"""What failed is told once for each kind when it happens, and all of it is counted at the end."""

from __future__ import annotations

import logging
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.pipeline.failures import SHOWN, Failures
from streamproc.record import Batch, Cursor, Failed

LINES = [b"%d" % n for n in range(1000)]


def batch_of(file: str = "in") -> Batch:
    return Batch(0, Cursor(file, 1, 0), list(LINES), 4000)


def failed_as(kind: str, group: str = "") -> Failed:
    return Failed("s", kind, f"{kind} happened", group=group)


def test_the_first_of_each_kind_is_told_when_it_happens(caplog: pytest.LogCaptureFixture) -> None:
    failures, batch = Failures(), batch_of()
    with caplog.at_level(logging.WARNING, "streamproc"):
        for i, kind in enumerate(["timeout", "timeout", "http", "timeout"]):
            failures.happened(batch, i, failed_as(kind))
    told = [record.getMessage() for record in caplog.records]
    assert [text.split(": ")[0] for text in told] == ["in:1", "in:3"]
    assert all("the first of its kind" in text for text in told)


def test_who_asks_for_all_is_told_of_each_by_its_id(caplog: pytest.LogCaptureFixture) -> None:
    failures, batch = Failures("run"), batch_of()
    with caplog.at_level(logging.DEBUG, "streamproc"):
        for i in range(3):
            failures.happened(batch, i, failed_as("timeout"))
    told = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert told[0][0] == "WARNING"
    assert told[1:] == [
        ("DEBUG", f"run:in:{line}: timeout in s: timeout happened") for line in (2, 3)
    ]


def test_statuses_of_one_kind_are_groups_of_their_own() -> None:
    failures, batch = Failures(), batch_of()
    for i, status in enumerate(["404", "500", "404"]):
        failures.count(batch, i, failed_as("http", status), "failed")
    assert [(group.failed.group, group.count) for group in failures.groups] == [
        ("404", 2), ("500", 1)
    ]  # fmt: skip


def test_a_group_names_its_first_three_places_by_file() -> None:
    failures = Failures()
    for file, i in (("a", 0), ("a", 4), ("b", 1), ("b", 2)):
        failures.count(batch_of(file), i, failed_as("timeout"), "failed")
    assert failures.groups[0].where == "a:1, 5, b:2, …"


@given(st.lists(st.integers(0, 300), max_size=200))
def test_the_digest_accounts_for_every_failure(kinds: list[int]) -> None:
    """Also for those of more kinds than are remembered."""
    failures, batch = Failures(), batch_of()
    for i, kind in enumerate(kinds):
        failures.count(batch, i, failed_as(f"k{kind}"), "failed")
    digest = failures.digest()
    assert failures.total == len(kinds)
    assert len(digest) <= SHOWN + 1
    shown = sum(group.count for group in failures.groups[:SHOWN])
    rest = f"and {len(kinds) - shown:,} of other kinds"
    assert (digest[-1:] == [rest]) == (shown < len(kinds))
    if len(set(kinds)) <= SHOWN:
        counts = [group.count for group in failures.groups]
        assert counts == sorted(Counter(kinds).values(), reverse=True)


def test_the_latest_are_kept_with_the_beginnings_of_their_records() -> None:
    failures, batch = Failures(), batch_of()
    batch.lines[7] = b"x" * 10_000
    for i in range(30):
        failures.happened(batch, i, failed_as("timeout"))
    assert [each.line for each in failures.latest] == list(range(11, 31))
    failures.happened(batch, 7, failed_as("timeout"))
    assert failures.latest[-1].record == b"x" * 2000
