"""The stage of the Kafka benchmarks: one record may take long."""

import asyncio
import os

HELD, SECONDS = int(os.environ.get("HELD", "0")), float(os.environ.get("HELD_S", "0"))


async def hold(record):
    """Wait where the record is the one that is held."""
    if record["id"] == HELD:
        await asyncio.sleep(SECONDS)
