"""What the guide says of the monitor: its metrics, its pages, and who asks for them."""

from __future__ import annotations

import re
from configparser import ConfigParser

from prometheus_client.core import Metric

from streamproc.call_metrics import CallMetrics
from streamproc.config.settings import Settings
from streamproc.counters import RunCounters
from streamproc.errors import EXIT_CODES
from streamproc.interfaces import WorkerState
from streamproc.telemetry.metrics import families, infos_of
from streamproc.telemetry.reading import Reading
from streamproc.telemetry.summary import Summary
from streamproc.waits import Allowance
from tests.docs.pages import DOCS, as_tree, blocks_of

PAGE = DOCS / "guide" / "watching.md"
PATHS = {"/health", "/ready", "/metrics", "/stats"}
SUFFIX = {"counter": "_total", "info": "_info"}


def reading() -> Reading:
    """In which there is one of everything."""
    calls = CallMetrics()
    calls.requests["t", "ok", "2xx"] = calls.retries["t", "5xx"] = 1
    calls.transitions["t", "open"] = calls.lookups["s", "hit"] = 1
    for durations in (calls.request_s["t"], calls.rate_wait_s["t"], calls.record_s["s"]):
        durations.took(0.1)
    failed = {("dead_lettered", "s", "timeout"): 1}
    limits = [Allowance("t", {"open": 1}, 10, 1.0)]
    workers = [WorkerState(0, 77, done=1, held=0, in_flight=0, oldest_s=0.0)]
    account = Summary.of(RunCounters(), 1.0, 0)
    return Reading(account, calls, failed, limits, workers=workers, lags={"t/0": 1})


def written(family: Metric) -> str:
    """As the page has it: without the prefix, with its labels."""
    name = family.name.removeprefix("streamproc_") + SUFFIX.get(family.type, "")
    labels = [each for each in family.samples[0].labels if each != "le"]
    return f"{name}{{{','.join(labels)}}}" if labels else name


def test_every_metric_is_explained() -> None:
    """By its name and its labels, and no other one is."""
    table = PAGE.read_text("utf-8").partition("## Metrics")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    named = [name.strip("`") for row in rows for name in row.split(", `")]
    about = {"run_id": "r", "pipeline": "p"}
    found = *infos_of("1", about), *families(reading())
    assert sorted(named) == sorted(map(written, found))


def test_who_asks_finds_it() -> None:
    """Prometheus asks for metrics, Grafana for its dashboard, Kubernetes for when to restart it."""
    trees = [as_tree(each.text) for each in blocks_of(PAGE) if each.language == "yaml"]
    scrape, provider, pod = trees
    [folder] = provider["providers"]
    assert (folder["type"], folder["options"]["path"][:1]) == ("file", "/")
    [container] = pod["spec"]["containers"]
    probes = {name: each["httpGet"] for name, each in container.items() if name.endswith("Probe")}
    assert {name: each["path"] for name, each in probes.items()} == {
        "startupProbe": "/ready", "livenessProbe": "/health", "readinessProbe": "/ready",
    }  # fmt: skip
    [variable] = container["env"]
    assert variable["name"] == "STREAMPROC_MONITOR"
    assert {int(each["port"]) for each in probes.values()} == {9464}
    assert scrape["scrape_configs"][0]["metrics_path"] in PATHS
    queries = next(each.text for each in blocks_of(PAGE) if each.language == "text")
    known = {each.name for each in families(reading())}
    asked = re.findall(r"streamproc_\w+", queries)
    assert asked
    assert {re.sub("_(total|bucket)$", "", each) for each in asked} <= known


def test_the_unit_waits_for_what_the_command_says() -> None:
    """A service of systemd that is ready when the run is, and may drain before it is killed."""
    [text] = [each.text for each in blocks_of(PAGE) if each.language == "ini"]
    unit = ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign] - keys have capitals
    unit.read_string(text)
    service = unit["Service"]
    assert service["Type"] == "notify"
    assert float(service["TimeoutStopSec"]) > Settings().drain_timeout
    codes = f"{service['SuccessExitStatus']} {service['RestartPreventExitStatus']}".split()
    assert set(codes) <= set(", ".join(EXIT_CODES).split(", "))
