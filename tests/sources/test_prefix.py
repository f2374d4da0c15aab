"""The running hash of a pipe."""

from __future__ import annotations

import asyncio
import random
from hashlib import sha256

from streamproc.sources.prefix import Prefix


def test_marks_while_it_is_fed() -> None:
    """Whoever asks at whatever moment gets the hash of exactly the first bytes."""
    dice = random.Random(1)
    data = dice.randbytes(6_000_000)

    async def main() -> None:
        prefix, found = Prefix(), []

        async def feed() -> None:
            at = 0
            while at < len(data):
                chunk = data[at : at + dice.randrange(1, 150_000)]
                at += len(chunk)
                await prefix.feed(chunk, max(0, at - dice.randrange(50)), at)
                await asyncio.sleep(0)

        async def ask() -> None:
            while not feeding.done():
                mark, line = await prefix.mark(dice.randrange(prefix.offset + 1))
                found.append((mark, line))
                await asyncio.sleep(0)

        feeding = asyncio.create_task(feed())
        await asyncio.gather(feeding, *(ask() for _ in range(3)))
        found.append(await prefix.mark(len(data)))
        assert len({mark.offset for mark, _ in found}) > 5
        for mark, line in found:
            assert mark.sha256 == sha256(data[: mark.offset]).hexdigest()
            assert mark.offset <= line <= mark.offset + 50

    asyncio.run(main())
