"""What a user would write: aiohttp, a semaphore, and gather. `user_http.py URL AT_ONCE < FILE`."""

import asyncio
import sys

import aiohttp
import orjson
import uvloop

URL, AT_ONCE = sys.argv[1], int(sys.argv[2])


async def enrich(session, semaphore, record):
    async with semaphore, session.get(URL.format(**record)) as response:
        response.raise_for_status()
        record["company"] = await response.json(loads=orjson.loads)
    return record


async def main():
    semaphore = asyncio.Semaphore(AT_ONCE)
    records = [orjson.loads(line) for line in sys.stdin.buffer]
    async with aiohttp.ClientSession() as session:
        done = await asyncio.gather(*[enrich(session, semaphore, record) for record in records])
    for record in done:
        sys.stdout.buffer.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))


uvloop.run(main())
