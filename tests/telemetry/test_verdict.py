"""What was not meant so is said, and what may be right is not."""

from __future__ import annotations

import pytest

from streamproc.attendance import ENOUGH, Attendance, Watch
from streamproc.counters import RunCounters, StageMetrics
from streamproc.telemetry.summary import Summary
from streamproc.telemetry.verdict import doubts, idleness, mistakes, untouched
from streamproc.types import Record


def seen(
    path: tuple[str, ...], record: Record, times: int, **watch: object
) -> dict[str, Attendance]:
    """What is known of a stage that names `path` after it saw `record` so often."""
    used = Watch([path], **watch).begin()  # type: ignore[arg-type]
    for _ in range(times):
        used.look(record)
    return {"crm": Attendance(wanted=times, used=used)}


def test_a_field_that_enough_records_lack_is_a_mistake() -> None:
    assert mistakes(seen(("emial",), {"email": 1, "id": 2}, ENOUGH)) == [
        'stage crm: no record has the field "emial", did you mean "email"?'
    ]
    assert mistakes(seen(("emial",), {"email": 1}, ENOUGH - 1)) == []


def test_a_few_records_leave_a_doubt_only_where_one_is_called_nearly_so() -> None:
    assert len(doubts(seen(("emial",), {"email": 1}, 1))) == 1
    assert doubts(seen(("phone",), {"email": 1}, 1)) == []
    assert doubts(seen(("emial",), {"email": 1}, ENOUGH)) == []  # that is a mistake
    assert doubts(seen(("emial",), {"email": 1}, 0)) == []


def test_a_field_that_one_record_has_is_right() -> None:
    found = seen(("email",), {"id": 1}, ENOUGH)
    found["crm"].used.look({"email": None})
    assert mistakes(found) == []


def test_it_is_said_what_there_is_instead() -> None:
    record = dict.fromkeys("abcdefg")
    (said,) = mistakes(seen(("customer",), record, ENOUGH))
    assert said.endswith("there are a, b, c, d, e, …; --allow-empty if none needs to have it")


def test_a_name_deep_inside_is_looked_for_beside_its_neighbours() -> None:
    (said,) = mistakes(seen(("user", "emial"), {"user": {"email": 1}, "emial2": 0}, ENOUGH))
    assert said.endswith('did you mean "user.email"?')


def test_a_word_that_was_meant_as_a_text_stands_in_single_quotes() -> None:
    (said,) = mistakes(seen(("gold",), {"tier": "gold"}, ENOUGH, texts=frozenset({"gold"})))
    assert said.endswith("a text stands in single quotes: 'gold'")


@pytest.mark.parametrize(
    ("records", "calls", "said"),
    [
        (Attendance(skipped_when=3), StageMetrics(), ["all 3 records were skipped"]),
        (Attendance(skipped_when=1), StageMetrics(), ["the only record was skipped"]),
        (Attendance(skipped_when=3, wanted=1), StageMetrics(), []),
        (Attendance(wanted=2), StageMetrics(requests=2, not_found=2), ["all 2 answers were 404"]),
        (Attendance(wanted=2), StageMetrics(requests=2, not_found=1), []),
        (Attendance(), StageMetrics(), []),
    ],
)
def test_a_stage_that_did_nothing_is_told_of(
    records: Attendance, calls: StageMetrics, said: list[str]
) -> None:
    found = list(idleness({"crm": records}, {"crm": calls}))
    assert len(found) == len(said)
    assert all(part in text for part, text in zip(said, found, strict=True))


@pytest.mark.parametrize(
    ("came", "of", "incoming", "said"),
    [
        (0, 5, "pass", None),
        (2, 5, "pass", None),
        (5, 5, "pass", "--incoming-errors redo"),
        (2, 5, "redo", "pipe them through streamproc replay --failed-only before"),
    ],
)
def test_records_that_failed_before_and_passed_are_told_of(
    came: int, of: int, incoming: str, said: str | None
) -> None:
    summary = Summary.of(RunCounters(lines=of, ok=of, had_error=came), 1.0, 0)
    found = list(untouched(summary, incoming))
    assert len(found) == (said is not None)
    assert said is None or said in found[0]
