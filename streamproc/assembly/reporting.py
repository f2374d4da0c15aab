"""What stands in the report of a run."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version

from msgspec import structs

from streamproc.assembly.readings import Readings, boxes_of
from streamproc.config.settings import Settings
from streamproc.config.toml import pipeline_text
from streamproc.counters import StageMetrics
from streamproc.pipeline.failures import Failures
from streamproc.shown import one_line
from streamproc.telemetry.figures import Figures
from streamproc.types import JsonObject
from streamproc.version import __version__

_PACKAGES = ("aiohttp", "confluent-kafka", "httptools", "msgspec", "orjson", "uvloop")


def report_of(
    readings: Readings,
    settings: Settings,
    calls: Mapping[str, StageMetrics],
    failures: Failures,
    problems: Sequence[str],
) -> JsonObject:
    """For `report.js`; `problems` are what ended the run early, or was not meant."""
    figures = Figures(readings.course, boxes_of(settings), shows_records=True)
    reading = readings.read()
    return {
        "figures": figures.of(reading, "ended"),
        "summary": structs.asdict(reading.summary),
        "problems": [one_line(each) for each in problems],
        "history": figures.history(),
        "changes": figures.changes(reading),
        "held": [
            {"part": part, "stage": stage, "reason": reason, "seconds": round(seconds, 3)}
            for (part, stage, reason), seconds in readings.course.held_s.items()
        ],
        "histograms": {name: tally.histogram for name, tally in calls.items() if tally.calls},
        "groups": [
            {
                "count": each.count,
                "stage": each.failed.stage,
                "kind": one_line(each.failed.kind),
                "message": one_line(each.failed.message),
                "where": each.where,
            }
            for each in failures.groups
        ],
        "pipeline": pipeline_text(settings),
        "versions": _versions(),
    }


def _versions() -> dict[str, str]:
    found = {"streamproc": __version__, "Python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found | {"on": platform.platform()}
