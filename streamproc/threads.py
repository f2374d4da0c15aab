"""Work in a thread that is not left alone: who is cancelled waits for it, and then goes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def to_the_end(job: asyncio.Future[T]) -> T:
    """The result of `job`, which goes on when its waiter is cancelled, who stays until then."""
    try:
        await asyncio.wait({job})
    except asyncio.CancelledError:
        await asyncio.wait({job})
        raise
    return job.result()


async def in_thread(function: Callable[..., T], *arguments: object) -> T:
    """What `function` returns, called in a thread and to its end."""
    loop = asyncio.get_running_loop()
    return await to_the_end(loop.run_in_executor(None, function, *arguments))
