"""The limit of this loop and parser: connections that ask, parse, decode, and ask again.

`raw_http.py URL CONNECTIONS < FILE`. Ordered by a dict; nothing else that streamproc does.
"""

import asyncio
import sys
from urllib.parse import urlsplit

import httptools
import orjson
import uvloop

URL, CONNECTIONS = sys.argv[1], int(sys.argv[2])
PARTS = urlsplit(URL)
HEAD = f"GET {PARTS.path} HTTP/1.1\r\nHost: {PARTS.netloc}\r\n\r\n"
BEFORE, AFTER = (part.encode() for part in HEAD.split("{id}"))


class Output:
    def __init__(self):
        self.waiting = {}
        self.following = 0

    def add(self, number, line):
        self.waiting[number] = line
        while self.following in self.waiting:
            sys.stdout.buffer.write(self.waiting.pop(self.following))
            self.following += 1


class Connection(asyncio.Protocol):
    def __init__(self, todo, output, over):
        self.todo, self.output, self.over = todo, output, over
        self.parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport):
        self.transport = transport
        self.ask()

    def ask(self):
        following = next(self.todo, None)
        if following is None:
            self.transport.close()
            return
        self.number, line = following
        self.record = orjson.loads(line)
        self.transport.write(b"%b%d%b" % (BEFORE, self.record["id"], AFTER))

    def data_received(self, data):
        self.parser.feed_data(data)

    def on_body(self, body):
        self.body = body

    def on_message_complete(self):
        if self.parser.get_status_code() != 200:
            raise SystemExit("not 200")
        self.record["company"] = orjson.loads(self.body)
        line = orjson.dumps(self.record, option=orjson.OPT_APPEND_NEWLINE)
        self.output.add(self.number, line)
        self.ask()  # the parser is ready for the next answer of a kept connection

    def connection_lost(self, error):
        self.over.release()


async def main():
    output = Output()
    todo = enumerate(sys.stdin.buffer)
    over = asyncio.Semaphore(0)
    loop = asyncio.get_running_loop()
    for _ in range(CONNECTIONS):
        await loop.create_connection(
            lambda: Connection(todo, output, over), PARTS.hostname, PARTS.port
        )
    for _ in range(CONNECTIONS):
        await over.acquire()
    sys.stdout.buffer.flush()


uvloop.run(main())
