"""A topic into a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from broker import Broker

from tests.conftest import summary

pytestmark = pytest.mark.forked


@pytest.mark.mock_will_do
def test_a_file_keeps_what_a_group_has_brought(
    broker: Broker, topic: Any, produce: Any, run: Any, folder: Path
) -> None:
    """The next start appends, for its offsets are committed; a torn line comes once more, whole."""
    name = topic(1)
    source = f"kafka://{broker.bootstrap}/{name}?group=g-{name}"
    arguments = (source, "--stop-at-end", "-e", "none", "-o", "out",
                 "--summary", "json")  # fmt: skip
    values = [b'{"n":%d}' % n for n in range(8)]
    produce(name, values[:5])
    assert run(*arguments).returncode == 0
    with open(folder / "out", "ab") as out:
        out.write(b'{"n":5')  # the process died over it
    produce(name, values[5:])
    done = run(*arguments)
    assert (done.returncode, summary(done.stderr)["ok"]) == (0, 3)
    assert b"torn line" in done.stderr
    assert (folder / "out").read_bytes() == b"\n".join([*values, b""])
