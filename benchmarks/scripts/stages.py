"""The stages of the benchmark, as a user would write them."""

import asyncio
import time


def add(record):
    """A plain function that returns the field to add."""
    return {"has_phone": "phone" in record}


def add_to_argument(record):
    """A plain function that assigns and returns its argument: what people also write."""
    record["has_phone"] = "phone" in record
    return record


def work_50us(record):
    """A plain function that needs about 50 us of CPU: a fixed amount of work, not of time."""
    number = 0
    for k in range(1000):
        number = (number * 31 + k) % 65521
    return {"number": number}


async def never_waits(record):
    """A coroutine that has nothing to wait for."""
    return {"has_phone": "phone" in record}


async def sleep_0(record):
    """A coroutine that gives the loop away once."""
    await asyncio.sleep(0)
    return {"has_phone": "phone" in record}


async def sleep_100ms(record):
    """A coroutine as slow as a call to a service."""
    await asyncio.sleep(0.1)
    return {"has_phone": "phone" in record}


def fail_some(record):
    """A plain function that fails for one record of 1,000."""
    if record["id"] % 1000 == 0:
        raise ValueError(f"no use for {record['id']}")


def hang(event):
    """A hook that does not come back."""
    time.sleep(3600)
