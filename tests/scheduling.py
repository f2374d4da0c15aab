"""Which worker runs a test, and when."""

from __future__ import annotations

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

# tests of Kafka mostly wait: so many workers have a broker each, the others do the work meanwhile
KAFKA = "tests/kafka/"
BROKERS = 2
# beginnings of node ids: the tests of a file share what starts slowly, such as a server
SHARED = (
    "tests/servers/",
    "tests/page/",
    "tests/http/test_tls.py",
    "tests/e2e/test_demo_server.py",
    "tests/test_house.py",
)
# what takes long begins first, or a worker would be busy with it when all others have ended
LONG = (
    "tests/kafka/test_memberships.py",
    KAFKA,
    "tests/promises/test_torture.py",
    "tests/simulation/",
    "tests/test_house.py",
)


class Shared(LoadScopeScheduling):
    """One worker runs all tests that share something; others run where there is time.

    `--dist loadgroup` would do, but pytest 9.2 leaves it without effect:
    https://github.com/pytest-dev/pytest-xdist/issues/1386
    """

    def __init__(self, config: pytest.Config, log: Any) -> None:
        super().__init__(config, log)
        self._kafka_files: dict[str, int] = {}

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        if nodeid.startswith(KAFKA):
            place = self._kafka_files.setdefault(file, len(self._kafka_files))
            return f"{KAFKA}{place % BROKERS}"
        return file if nodeid.startswith(SHARED) else nodeid


def turn(nodeid: str) -> int:
    """What a test is sorted by."""
    return next((k for k, each in enumerate(LONG) if nodeid.startswith(each)), len(LONG))
