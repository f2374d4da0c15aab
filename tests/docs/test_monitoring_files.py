"""The dashboard and the alerts: what they ask for is what `/metrics` answers."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from prometheus_client import ProcessCollector
from prometheus_client.core import Metric

from streamproc.telemetry.metrics import Exposition, families, infos_of
from tests.conftest import NO_PROMTOOL
from tests.docs.pages import DOCS, as_tree
from tests.docs.test_watching import reading

FOLDER = DOCS / "monitoring"
DASHBOARD = json.loads((FOLDER / "grafana-dashboard.json").read_text("utf-8"))
NAME = r"\b(?:streamproc|process)_\w+"
ABOUT = {"run_id": "r", "pipeline": "p"}
OF_PROMETHEUS = {"instance", "job", "le"}  # labels of every scrape, and of a histogram


def samples() -> dict[str, set[str]]:
    """Every name in the exposition, with its labels."""
    infos = infos_of("1", ABOUT)
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


def sources(value: Any) -> Iterator[str]:
    """What is asked, wherever it stands below `value`."""
    if isinstance(value, dict):
        if "datasource" in value:
            yield value["datasource"]["uid"]
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from sources(each)


def test_the_dashboard_can_be_given_by_a_file() -> None:
    """Nobody is asked then what to put in for an input: the source is one of its variables."""
    assert DASHBOARD["uid"]
    assert not {"__inputs", "id"} & DASHBOARD.keys()
    [variable] = [each for each in DASHBOARD["templating"]["list"] if each["type"] == "datasource"]
    assert set(sources(DASHBOARD)) == {f"${{{variable['name']}}}"}


@pytest.fixture
def promtool() -> Callable[..., str]:
    """Ask Prometheus' own tool about a text; YAML is a superset of JSON."""
    tool = shutil.which("promtool")
    if tool is None:
        pytest.skip(f"{NO_PROMTOOL}Prometheus, which has it (Debian: prometheus)")

    def ask(*command: str, text: str) -> str:
        done = subprocess.run(
            [tool, *command], input=text, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    return ask


def test_prometheus_takes_the_metrics(promtool: Callable[..., str]) -> None:
    """Its linter has nothing to say."""
    body, _ = Exposition(infos_of("1", ABOUT)).text(reading(), "")
    assert promtool("check", "metrics", text=body.decode()) == ""


def test_prometheus_takes_every_query(promtool: Callable[..., str]) -> None:
    asked = [
        query.replace("$__rate_interval", "1m").replace("$instance", ".*")
        for query in queries()
        if "label_values" not in query and query != "prometheus"
    ]
    rules = [{"record": f"asked:{n}", "expr": query} for n, query in enumerate(asked)]
    group = {"name": "asked", "rules": rules}
    said = promtool("check", "rules", "/dev/stdin", text=json.dumps({"groups": [group]}))
    assert f"{len(asked)} rules found" in said


EMITTED = 'streamproc_records_emitted_total{status="%s"}'
REQUESTS = 'streamproc_requests_total{target="t", outcome="%s"}'
LASTING = {  # what makes each alert go off: series, and their values minute by minute
    "StreamprocFailures": {EMITTED % "ok": "0+90x30", EMITTED % "dropped": "0+10x30"},
    "StreamprocCircuitOpen": {'streamproc_circuit_state{target="t", state="open"}': "1x30"},
    "StreamprocStandstill": {EMITTED % "ok": "7x30", "streamproc_records_in_flight": "3x30"},
    "StreamprocOldCall": {"streamproc_oldest_in_flight_seconds": "700x30"},
    "StreamprocThrottled": {REQUESTS % "ok": "0+8x30", REQUESTS % "throttled": "0+2x30"},
    "StreamprocDeadLetters": {EMITTED % "dead_lettered": "0x25 1x5"},
}
WELL = {EMITTED % "ok": "0+100x30", EMITTED % "dead_lettered": "0x30", REQUESTS % "ok": "0+9x30"}


@pytest.mark.parametrize("name", sorted(each["alert"] for each in alerts()))
def test_each_alert_goes_off_when_it_should(promtool: Callable[..., str], name: str) -> None:
    """And not where all is well."""

    def case(series: dict[str, str], *, goes_off: bool) -> dict[str, Any]:
        labels = 'job="leads", instance="a:9464"'
        given = [
            {"series": f"{name[:-1]}, {labels}}}" if "{" in name else f"{name}{{{labels}}}",
             "values": values} for name, values in series.items()
        ]  # fmt: skip
        count = f'count(ALERTS{{alertname="{name}", alertstate="firing"}})'
        samples = [{"labels": "{}", "value": 1}] if goes_off else []
        asked = {"expr": count, "eval_time": "29m", "exp_samples": samples}
        return {"interval": "1m", "input_series": given, "promql_expr_test": [asked]}

    cases = [case(LASTING[name], goes_off=True), case(WELL, goes_off=False)]
    rules = {"rule_files": [str(FOLDER / "alerts.yaml")], "evaluation_interval": "1m"}
    promtool("test", "rules", "/dev/stdin", text=json.dumps(rules | {"tests": cases}))
