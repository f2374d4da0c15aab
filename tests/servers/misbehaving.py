"""An HTTP server that breaks every rule, as the request's path tells it to.

`python -m servers.misbehaving [FOLDER OF CERTIFICATES] [--until-eof]`, in the folder `tests`,
prints its ports as one line of JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import socket
import ssl
import sys
from functools import partial
from pathlib import Path

from . import contents, framing, limits
from .board import Board
from .certificates import KINDS
from .wire import END, Behaviour, Exchange, Request, Routes, reset

HOST = "127.0.0.1"
BACKLOG = 4096
MAX_HEAD = 1 << 18
ROUTES = Routes(contents.routes | framing.routes | limits.routes)
LATE = {"/continue", "/early"}  # these do not want the body before they answer


async def unknown(x: Exchange) -> None:
    await x.answer_json({"error": "no such path"}, status=404)


async def exchange(x: Exchange, behaviour: Behaviour) -> None:
    """Answer one request, and note it."""
    entry = x.board.begin(x.request.path)
    x.number = x.board.total
    try:
        if x.request.path not in LATE:
            await x.read_body()
        await behaviour(x)
    except (KeyError, TypeError, ValueError) as error:
        if x.status is not None:
            raise
        x.close()
        await x.answer_json({"error": f"{type(error).__name__}: {error}"}, status=400)
    finally:
        x.board.end(entry, x.status)


async def converse(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, routes: Routes, board: Board
) -> None:
    """All the requests of one connection."""
    idle_s: float | None = None
    while True:
        if idle_s is None:
            head = await reader.readuntil(END)
        else:
            async with asyncio.timeout(idle_s):
                head = await reader.readuntil(END)
        try:
            request = Request.parse(head)
        except ValueError:
            writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
            return
        x = Exchange(request, reader, writer, board)
        await exchange(x, routes.find(request.path) or unknown)
        if x.closes:
            return
        if x.drops_next:
            if await reader.read(1):
                board.dropped += 1
            return
        idle_s = x.idle_s


class Site:
    """The ports of the server."""

    def __init__(self) -> None:
        self.board = Board()
        self.writers: set[asyncio.StreamWriter] = set()  # of the main port
        self.servers: list[asyncio.Server] = []
        self.main: asyncio.Server | None = None
        self.port = 0
        self.rising: asyncio.Task[None] | None = None

    async def open(self, certificates: Path | None) -> dict[str, object]:
        """Listen, and tell on which ports."""
        held = hold(0)
        self.port = held.getsockname()[1]
        await self.rise(held)
        admin = Routes({"/stats": self.stats, "/reset": self.forget, "/down": self.down})
        tls = {}
        for kind in KINDS if certificates else ():
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(f"{certificates}/{kind}.pem", f"{certificates}/{kind}.key")
            tls[kind] = await self.listen(hold(0), context=context)
        return {
            "main": self.port,
            "admin": await self.listen(hold(0), routes=admin, board=Board()),
            "tls": tls,
        }

    async def listen(
        self,
        held: socket.socket,
        routes: Routes = ROUTES,
        board: Board | None = None,
        context: ssl.SSLContext | None = None,
    ) -> int:
        serve = partial(self.serve, routes=routes, board=board or self.board)
        server = await asyncio.start_server(
            serve, sock=held, backlog=BACKLOG, limit=MAX_HEAD, ssl=context
        )
        self.servers.append(server)
        return int(held.getsockname()[1])

    async def rise(self, held: socket.socket) -> None:
        await self.listen(held)
        self.main = self.servers.pop()

    async def serve(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        routes: Routes,
        board: Board,
    ) -> None:
        address = writer.get_extra_info("sockname")
        on_main = address is not None and address[1] == self.port
        if on_main and self.main is None:
            reset(writer)
            return
        board.accepted += 1
        board.open += 1
        if on_main:
            self.writers.add(writer)
        try:
            # whatever the client does, including leaving in the middle
            with contextlib.suppress(
                OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError
            ):
                await converse(reader, writer, routes, board)
        finally:
            board.open -= 1
            self.writers.discard(writer)
            writer.close()

    async def stats(self, x: Exchange) -> None:
        await x.answer_json(self.board.stats())

    async def forget(self, x: Exchange) -> None:
        self.board.reset()
        await x.answer_json({})

    async def down(self, x: Exchange) -> None:
        """Refuse connections for a while; the port stays ours."""
        seconds = x.request.decimal("s", 2)
        if self.main is None:
            await x.answer_json({"error": "down already"}, status=409)
            return
        self.main.close()
        self.main = None
        held = hold(self.port)
        for writer in list(self.writers):
            reset(writer)
        self.rising = asyncio.create_task(self.rise_later(held, seconds))
        await x.answer_json({"down_s": seconds})

    async def rise_later(self, held: socket.socket, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self.rise(held)


def hold(port: int) -> socket.socket:
    """A socket that has the port but does not listen: connections are refused."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind((HOST, port))
    held.setblocking(False)
    return held


async def main(certificates: Path | None, until_eof: bool) -> None:
    site = Site()
    print(json.dumps(await site.open(certificates)), flush=True)
    over = asyncio.Event()
    if until_eof:  # whoever started this server holds the other end of the pipe, while alive
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), over.set)
    await over.wait()


if __name__ == "__main__":
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    folders = [Path(argument) for argument in sys.argv[1:] if not argument.startswith("--")]
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(folders[0] if folders else None, "--until-eof" in sys.argv))
