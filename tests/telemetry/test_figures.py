"""What the page is told of a run, and what not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamproc.counters import RunCounters
from streamproc.interfaces import CircuitChanged, TargetPaused
from streamproc.telemetry.course import Course
from streamproc.telemetry.figures import Box, Figures
from streamproc.telemetry.narrowest import Narrowest
from streamproc.telemetry.reading import Reading
from streamproc.telemetry.summary import Summary
from streamproc.waits import Allowance, Wait

FIXED, NAMED = "http://fixed:1", "http://named-by-a-record:1"


@pytest.mark.parametrize("shows_records", [False, True])
def test_targets_that_records_name(shows_records: bool) -> None:
    """Their names are where records may be seen, and nowhere else; those of the file are."""
    course = Course()
    course.state_changed(CircuitChanged("s", NAMED, "open", "said by named-by-a-record"))
    course.state_changed(TargetPaused("t", FIXED, 3.0))
    wait = Wait("circuit_open", NAMED, 3, 5.0, "503", 20, "s")
    course.narrowest = Narrowest("stage", "s", wait)
    allowances = [Allowance(each, {"open": 1}, None, None) for each in ("(record)", FIXED)]
    reading = Reading(Summary.of(RunCounters(), 1.0, 0), allowances=allowances, waits=[wait])
    figures = Figures(course, [Box("s"), Box("t")], shows_records=shows_records)
    now, changes = figures.of(reading, "running"), figures.changes(reading)
    assert [each["target"] for each in changes] == [NAMED if shows_records else "(record)", FIXED]
    assert now["targets"][0]["waits"] == [{"reason": "circuit_open", "waiting": 3, "left_s": 5.0}]
    assert ("named-by-a-record" in json.dumps([now, changes])) == shows_records
    assert now["narrowest"]["stage"] == "s"


def test_a_source_holds_its_stage_back() -> None:
    """Boxes are stages: what is asked at once stands in one."""
    course = Course()
    course.narrowest = Narrowest("stage", "second")
    reading = Reading(Summary.of(RunCounters(), 1.0, 0))
    figures = Figures(course, [Box("all", ("first", "second"))], shows_records=True)
    now: dict[str, Any] = figures.of(reading, "running")
    assert now["narrowest"]["stage"] == "all"
