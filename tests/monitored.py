"""Questions to the monitor of a run."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from http.client import HTTPConnection
from typing import Any, NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import PATIENCE_S


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def samples(self) -> dict[tuple[str, ...], float]:
        """By name and values of labels, in the order of their names."""
        return {
            (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
            for family in text_string_to_metric_families(self.body.decode())
            for sample in family.samples
        }


class Asked:
    """The monitor that a process, started with port 0, tells of on stderr."""

    def __init__(self, process: Any) -> None:
        self.said = process.stderr.readline()
        found = re.search(rb"the monitor is at http://(\S+):(\d+)$", self.said.rstrip())
        assert found is not None, self.said
        self.host, self.port = found[1].decode(), int(found[2])

    def __call__(self, path: str, method: str = "GET", **headers: str) -> Answer:
        connection = HTTPConnection(self.host, self.port, timeout=PATIENCE_S)
        try:
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def until(self, path: str, is_so: Callable[[Answer], bool], **headers: str) -> Answer:
        """The first answer that is as it should be in the end."""
        last_s = time.monotonic() + PATIENCE_S
        while not is_so(answer := self(path, **headers)):
            assert time.monotonic() < last_s, answer
            time.sleep(0.05)
        return answer
