"""Which worker runs a test, and when."""

from __future__ import annotations

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

# tests of Kafka mostly wait: so many workers have a broker each, the others do the work meanwhile
KAFKA = "tests/kafka/"
BROKERS = 2
NO_BROKER = "tests/kafka/test_exactly_once_model.py"
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
        self._with_broker: list[WorkerController] = []

    def _split_scope(self, nodeid: str) -> str:
        is_shared = is_kafka(nodeid) or nodeid.startswith(SHARED)
        return nodeid.partition("::")[0] if is_shared else nodeid

    def _assign_work_unit(self, node: WorkerController) -> None:
        """The first that the worker may have; it has ended when there is none."""
        for unit in self.workqueue:
            if not is_kafka(unit) or self._has_broker(node):
                self.workqueue.move_to_end(unit, last=False)
                super()._assign_work_unit(node)
                return
        node.shutdown()

    def _has_broker(self, node: WorkerController) -> bool:
        """Or may start one."""
        alive = [each for each in self._with_broker if each in self.assigned_work]
        if node not in alive and len(alive) < BROKERS:
            alive.append(node)
        self._with_broker = alive
        return node in alive

    def mark_test_complete(
        self, node: WorkerController, item_index: int, duration: float = 0
    ) -> None:
        """What has ended is looked at no more: it would be once per test."""
        super().mark_test_complete(node, item_index, duration)
        unit = self._split_scope(self.registered_collections[node][item_index])
        if all(self.assigned_work[node][unit].values()):
            del self.assigned_work[node][unit]


def is_kafka(unit: str) -> bool:
    """Whether it needs a broker."""
    return unit.startswith(KAFKA) and not unit.startswith(NO_BROKER)


def turn(nodeid: str) -> int:
    """What a test is sorted by."""
    return next((k for k, each in enumerate(LONG) if nodeid.startswith(each)), len(LONG))
