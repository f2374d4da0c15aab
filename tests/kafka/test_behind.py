"""How far behind a run is in each partition, for who asks its monitor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from broker import Broker
from monitored import Asked

pytestmark = pytest.mark.forked

COUNT = 60_000  # the window holds 50,000


@pytest.mark.mock_will_do
def test_each_partition(broker: Broker, topic: Any, produce: Any, start: Any, folder: Path) -> None:
    """What is not admitted yet; one that nobody has written to has nothing to be read."""
    (folder / "stages.py").write_text(
        "import asyncio\nasync def never(record):\n    await asyncio.sleep(3600)\n"
    )
    name = topic(4)
    produce(name, [{"value": b"{}", "partition": 2}] * COUNT)
    process = start(
        f"kafka://{broker.bootstrap}/{name}?from=beginning", "-e", "stages.py:never", "-j", "1",
        "--monitor", "127.0.0.1:0",
    )  # fmt: skip
    ask = Asked(process)

    def lag(answer: Any, partition: int) -> float | None:
        return answer.samples.get(("streamproc_partition_lag", f"{name}/{partition}"))

    answer = ask.until("/metrics", lambda answer: 0 < (lag(answer, 2) or 0) < COUNT)
    assert lag(answer, 0) == 0
    ask.until("/stats", lambda answer: answer.json["lag"] == lag(ask("/metrics"), 2))
