"""The loop whose clock jumps."""

from __future__ import annotations

import asyncio
import socket
import threading
import warnings

import pytest

from streamproc.trials.clock import simulate


def test_days_pass_at_once_and_in_order() -> None:
    """Timers fire when they should, by the loop's clock."""

    async def main() -> tuple[list[float], float]:
        loop = asyncio.get_running_loop()
        began, seen = loop.time(), []

        async def nap(seconds: float) -> None:
            await asyncio.sleep(seconds)
            seen.append(loop.time() - began)

        await asyncio.gather(*[nap(86_400.0 * n) for n in (3, 1, 2)])
        return seen, loop.time() - began

    seen, took = simulate(main())
    assert seen == pytest.approx([86_400.0, 172_800.0, 259_200.0])
    assert took == pytest.approx(259_200.0)


def test_what_happens_elsewhere_takes_its_time() -> None:
    """While a thread works, or a socket is waited for, no hour passes."""
    go, ours = threading.Event(), socket.socketpair()

    def work() -> str:
        go.wait()
        ours[1].send(b"x")
        return "done"

    async def main() -> tuple[str, bytes]:
        loop = asyncio.get_running_loop()
        ours[0].setblocking(False)
        async with asyncio.timeout(3600.0):
            job = asyncio.create_task(asyncio.to_thread(work))
            await asyncio.sleep(0.01)
            go.set()
            return await job, await loop.sock_recv(ours[0], 1)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert simulate(main()) == ("done", b"x")
    for each in ours:
        each.close()


def test_what_would_wait_for_ever_is_an_error() -> None:
    """No timer would end it."""

    async def main() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(RuntimeError, match="no timer"):
        simulate(main())
