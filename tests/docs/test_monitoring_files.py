"""The dashboard and the alerts: what they ask for is what `/metrics` answers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from prometheus_client import ProcessCollector
from prometheus_client.core import Metric

from streamproc.telemetry.metrics import Exposition, families
from tests.docs.pages import DOCS, as_tree
from tests.docs.test_watching import reading

FOLDER = DOCS / "monitoring"
DASHBOARD = json.loads((FOLDER / "grafana-dashboard.json").read_text("utf-8"))
NAME = r"\b(?:streamproc|process)_\w+"
OF_PROMETHEUS = {"instance", "job", "le"}  # labels of every scrape, and of a histogram


def samples() -> dict[str, set[str]]:
    """Every name in the exposition, with its labels."""
    infos = Exposition("1", {"run_id": "r", "pipeline": "p"})._infos
    found: list[Metric] = [*infos, *families(reading()), *ProcessCollector(registry=None).collect()]
    return {each.name: set(each.labels) for family in found for each in family.samples}


def alerts() -> list[dict[str, Any]]:
    (group,) = as_tree((FOLDER / "alerts.yaml").read_text("utf-8"))["groups"]
    return list(group["rules"])


def queries() -> Iterator[str]:
    for panel in DASHBOARD["panels"]:
        yield from (target["expr"] for target in panel["targets"])
    yield from (rule["expr"] for rule in alerts())
    yield from (each["query"] for each in DASHBOARD["templating"]["list"])


def test_every_metric_that_is_asked_for_exists() -> None:
    """By its whole name: a counter without _total would be an empty panel for ever."""
    known = samples()
    asked = {name for query in queries() for name in re.findall(NAME, query)}
    assert len(asked) > 20
    assert asked <= known.keys()


def test_every_label_that_is_asked_for_exists() -> None:
    """In selectors, and in what is summed by; a wrong one selects nothing."""
    known = samples()
    for query in queries():
        labels = set[str]().union(*(known[name] for name in re.findall(NAME, query)))
        for selector in re.findall(r"\{([^{}]*)\}", query):
            assert set(re.findall(r"(\w+)\s*[=!]~?", selector)) <= labels | OF_PROMETHEUS, query
        for group in re.findall(r"\b(?:by|on) \(([^()]*)\)", query):
            assert set(group.split(", ")) <= labels | OF_PROMETHEUS, query


def test_legends_and_annotations_name_labels_that_there_are() -> None:
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
                assert re.search(rf"\b{label}\b", target["expr"]) or label == "instance", target
    for rule in alerts():
        said = " ".join(rule["annotations"].values())
        for label in re.findall(r"\$labels\.(\w+)", said):
            assert re.search(rf"\b{label}\b", rule["expr"]) or label == "instance", rule
        assert {"alert", "expr", "labels", "annotations"} <= rule.keys()


def test_panels_stand_beside_each_other() -> None:
    """None covers another one, and each has an id of its own."""
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for grid in (panel["gridPos"] for panel in panels)
        for x in range(grid["x"], grid["x"] + grid["w"])
        for y in range(grid["y"], grid["y"] + grid["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) == 23
