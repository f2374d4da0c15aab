"""A server that behaves as its arguments say, and tells at the end what was asked of it.

`http_server.py wait SECONDS | capacity LIMIT SECONDS | flaky SHARE SECONDS | outage AFTER FOR |
down AFTER FOR | once AFTER FOR`. Prints its port; at the end of its stdin, as one line of JSON,
when each request arrived and how it was answered (0: by a reset), and when things changed.
"""

import asyncio
import json
import random
import socket
import struct
import sys
import time

import httptools
import uvloop

RESET = struct.pack("ii", 1, 0)
GOOD, FAILED, DOWN = 200, 500, 503


def answer(
    status, *headers, body=b'{"name":"Example Ltd","industry":"tools","employees":120,"ok":true}'
):
    lines = [f"HTTP/1.1 {status} X", "Content-Type: application/json", *headers]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


class Weather:
    """What happens next. `decide` is called once for each request, as it arrives."""

    def __init__(self, mode, first, second=0.0):
        self.mode, self.first, self.second = mode, first, second
        self.arrivals = []
        self.events = {}
        self.running = 0
        self.open = set()
        self.dice = random.Random(1)
        self.delay = {"wait": first, "capacity": second, "flaky": second}.get(mode, 0.005)
        self.good = answer(GOOD)
        self.bad = {
            FAILED: answer(FAILED),
            DOWN: answer(DOWN),
            429: answer(429, f"Retry-After: {second:g}" if mode == "once" else "X-Limit: 1"),
        }

    def decide(self):
        now = time.monotonic()
        status = getattr(self, self.mode)(now)
        self.arrivals.append((now, status))
        return status

    def wait(self, now):
        return GOOD

    def capacity(self, now):
        return 429 if self.running >= self.first else GOOD

    def flaky(self, now):
        if self.dice.random() >= self.first:
            return GOOD
        return 0 if self.dice.random() < 0.5 else FAILED

    def outage(self, now):
        return DOWN if self.bad_time(now) else GOOD

    def once(self, now):
        return 429 if self.bad_time(now) else GOOD

    def down(self, now):
        if not self.bad_time(now):
            return GOOD
        self.close_port()
        return 0

    def bad_time(self, now):
        if len(self.arrivals) < self.first:
            return False
        return now < self.events.setdefault("begin", now) + self.second

    def close_port(self):
        if "closed" in self.events:
            return
        self.events["closed"] = time.monotonic()
        self.server.close()
        self.held = hold(self.port)  # nobody else gets it; nobody listens
        self.events["dropped"] = self.running
        for client in list(self.open):
            client.reset()
        asyncio.get_running_loop().create_task(self.rise())

    async def rise(self):
        await asyncio.sleep(self.second)
        self.server = await listen(self, self.held)


class Client(asyncio.Protocol):
    def __init__(self, weather):
        self.weather = weather

    def connection_made(self, transport):
        self.transport = transport
        self.parser = httptools.HttpRequestParser(self)
        self.weather.open.add(self)

    def connection_lost(self, error):
        self.weather.open.discard(self)

    def data_received(self, data):
        self.parser.feed_data(data)

    def on_message_complete(self):
        status = self.weather.decide()
        if status in (429, DOWN) or (status == 0 and self.weather.mode == "down"):
            self.say(status)
            return
        self.weather.running += 1
        if self.weather.delay:
            asyncio.get_running_loop().call_later(self.weather.delay, self.finish, status)
        else:
            self.finish(status)

    def finish(self, status):
        self.weather.running -= 1
        self.say(status)

    def say(self, status):
        if self.transport.is_closing():
            return
        if status == 0:
            self.reset()
        else:
            self.transport.write(self.weather.good if status == GOOD else self.weather.bad[status])

    def reset(self):
        self.transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, RESET
        )
        self.transport.abort()


def hold(port):
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", port))
    return held


async def listen(weather, held):
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: Client(weather), sock=held, backlog=4096)


async def main():
    mode, *numbers = sys.argv[1:]
    weather = Weather(mode, *map(float, numbers))
    held = hold(0)
    weather.port = held.getsockname()[1]
    weather.server = await listen(weather, held)
    print(weather.port, flush=True)
    over = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), over.set)
    await over.wait()
    print(json.dumps({"arrivals": weather.arrivals, **weather.events}), flush=True)


uvloop.run(main())
