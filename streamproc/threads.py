"""Work in threads: to its end, whoever is cancelled meanwhile, or what takes the loop too long."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

from streamproc.errors import RecordError

T = TypeVar("T")

_NEVER = 1_000_000

LONG_BYTES = 256 * 1024  # of JSON: what is shorter takes neither much time nor much memory


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


async def aside(function: Callable[..., T], *arguments: object) -> T:
    """What `function` returns, which takes long and waits for nothing; others have the loop.

    What of it is C keeps the interpreter to itself here as well: the loop has its turns between
    such calls. Who is cancelled does not wait for it.
    """
    return await asyncio.get_running_loop().run_in_executor(_busy(), _long, function, *arguments)


def _long(function: Callable[..., T], *arguments: object) -> T:
    young, middle, old = gc.get_threshold()
    # looking again and again through what is new, and has no cycles, takes two thirds of the time
    gc.set_threshold(young, _NEVER, old)
    try:
        return function(*arguments)
    except RecordError as error:
        refusal = error.with_traceback(None)  # its frames hold what was decoded
    finally:
        gc.set_threshold(young, middle, old)
    raise refusal


@cache
def _busy() -> ThreadPoolExecutor:
    """One: several would take no less time, and memory all at once."""
    return ThreadPoolExecutor(1, "busy")
