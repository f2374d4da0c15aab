"""With a cache on the disk nothing is paid for twice, whatever ends the runs."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
from servers.running import Server
from servers.sockets import until

from tests.conftest import records

pytestmark = pytest.mark.forked
STAGE = 'http.url = "SERVER/delay?s=0.5&n={n}"\ncache = { path = "answers.db" }'
INPUT = b"".join(b'{"n":%d}\n' % n for n in range(200))


@pytest.mark.parametrize("more", [(), ("-w", "2")], ids=["", "workers"])
@pytest.mark.parametrize("signals", [(signal.SIGINT, signal.SIGTERM), (signal.SIGTERM,)])
def test_an_aborted_run_keeps_what_it_paid_for(
    start: Any,
    run: Any,
    pipeline: Any,
    server: Server,
    tmp_path: Path,
    signals: tuple[int, ...],
    more: tuple[str, ...],
) -> None:
    """Answers that come while it is being aborted are kept: the next run does not ask again."""
    arguments = ("-c", pipeline(STAGE), "-j", "20", "--checkpoint", "cp", "--resume", "-o", "out")
    process = start(*arguments, *more)
    process.stdin.write(INPUT)
    until(lambda: server.stats()["total"] > 50)
    for number in signals:
        process.send_signal(number)
    process.communicate()
    assert server.stats()["total"] < 200 or len(signals) == 1
    done = run(*arguments, *more, stdin=INPUT)
    assert done.returncode == 0
    assert [each["n"] for each in records((tmp_path / "out").read_bytes())] == list(range(200))
    assert server.stats()["total"] == 200


def test_a_killed_run_pays_only_for_what_was_on_its_way(
    start: Any, run: Any, pipeline: Any, server: Server, tmp_path: Path
) -> None:
    """kill -9: what had been answered is not asked for again."""
    arguments = ("-c", pipeline(STAGE), "-j", "20", "--checkpoint", "cp", "--resume", "-o", "out")
    process = start(*arguments)
    process.stdin.write(INPUT)
    until(lambda: server.stats()["total"] > 50)
    process.kill()
    process.communicate()
    done = run(*arguments, stdin=INPUT)
    assert done.returncode == 0
    assert len(records((tmp_path / "out").read_bytes())) == 200
    assert 200 <= server.stats()["total"] <= 220
