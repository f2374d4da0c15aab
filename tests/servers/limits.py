"""Good servers on a bad day: rate limits, outages, and failures now and then."""

from __future__ import annotations

import asyncio
import math
import random
import time
from email.utils import formatdate

from .wire import Exchange, Routes

routes = Routes()


async def refuse(x: Exchange, *lines: str, status: int = 429) -> None:
    await x.answer_json({"error": "not now"}, *lines, status=status)


def waiting(form: str, after: float, now: float) -> list[str]:
    """The headers that ask for a pause of so many seconds, at this time of the server's clock."""
    date = f"Date: {formatdate(now, usegmt=True)}"
    headers = {
        "seconds": f"Retry-After: {math.ceil(after)}",
        "decimal": f"Retry-After: {float(after)}",
        "ms": f"retry-after-ms: {round(after * 1000)}",
        "date": f"Retry-After: {formatdate(int(now) + math.ceil(after), usegmt=True)}",
        "reset": f"X-RateLimit-Reset: {math.ceil(now + after)}",
        "reset-delta": f"X-RateLimit-Reset: {after:g}",
        "none": None,
    }
    line = headers[form]
    return [date] if line is None else [date, line]


@routes("/429")
async def too_many(x: Exchange) -> None:
    request = x.request
    counted = x.board.recall("429", request.text("key"), first=[0])
    counted[0] += 1
    if counted[0] > request.whole("times", 1):
        await x.answer()
        return
    now = time.time() + request.decimal("skew", 0)
    lines = waiting(request.text("form", "seconds"), request.decimal("after", 1), now)
    await refuse(x, *lines, status=request.whole("status", 429))


@routes("/429-once")
async def too_many_once(x: Exchange) -> None:
    after = x.request.decimal("after", 3)
    now = x.board.now()
    over = x.board.recall("429-once", x.request.text("key"), first=now + after)
    if now < over:
        await refuse(x, f"Retry-After: {after:g}")
    else:
        await x.answer()


@routes("/flaky")
async def flaky(x: Exchange) -> None:
    request = x.request
    seed = request.whole("seed", 1)
    drawn = x.board.recall("flaky", request.raw_query, first=None)
    if drawn is None:
        drawn = x.board.memory["flaky", request.raw_query] = random.Random(seed)
    fails, resets = drawn.random() < request.decimal("share", 0.2), drawn.random() < 0.5
    if not fails:
        await x.answer()
    elif resets and request.whole("resets", 0):
        x.reset()
    else:
        await refuse(x, status=500)


@routes("/outage")
async def outage(x: Exchange) -> None:
    request = x.request
    state = x.board.recall("outage", request.text("key"), first={"count": 0, "over": None})
    state["count"] += 1
    if state["count"] > request.whole("from", 10):
        if state["over"] is None:
            state["over"] = x.board.now() + request.decimal("for", 1)
        if x.board.now() < state["over"]:
            after = request.text("after", "")
            await refuse(x, *([f"Retry-After: {after}"] if after else ()), status=503)
            return
    await x.answer()


@routes("/capacity")
async def capacity(x: Exchange) -> None:
    running = x.board.recall("capacity", x.request.text("key"), first=[0])
    if running[0] >= x.request.whole("limit", 50):
        await refuse(x)
        return
    running[0] += 1
    try:
        await asyncio.sleep(x.request.decimal("s", 0.1))
        await x.answer()
    finally:
        running[0] -= 1
