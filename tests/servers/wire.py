"""Requests in, bytes out: as much HTTP/1.1 as it takes to break it."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

from .board import Board

END = b"\r\n\r\n"
JSON = "application/json"
PIECE = 65536
REASONS = {status.value: status.phrase for status in HTTPStatus}
LINGER_0 = struct.pack("ii", 1, 0)


@dataclass(slots=True)
class Request:
    """A request as it came; names and values of headers are not touched."""

    method: str
    path: str
    raw_query: str
    version: str
    headers: list[tuple[str, str]]
    body: bytes = b""
    query: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, head: bytes) -> Request:
        first, *lines = head[: -len(END)].decode("latin-1").split("\r\n")
        method, target, version = first.split(" ")
        path, _, raw_query = target.partition("?")
        headers = []
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon:
                raise ValueError(f"no colon in {line!r}")
            headers.append((name, value.strip(" \t")))
        query = dict(parse_qsl(raw_query, keep_blank_values=True)) if raw_query else {}
        return cls(method, path, raw_query, version, headers, query=query)

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key.lower() == name), "")

    def text(self, name: str, default: str = "") -> str:
        return self.query.get(name, default)

    def decimal(self, name: str, default: float) -> float:
        return float(self.query.get(name, default))

    def whole(self, name: str, default: int) -> int:
        return int(self.query.get(name, default))


class Exchange:
    """One request and the ways to answer it."""

    __slots__ = (
        "board", "closes", "drops_next", "idle_s", "number", "reader", "request", "status",
        "writer",
    )  # fmt: skip

    def __init__(
        self,
        request: Request,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        board: Board,
    ) -> None:
        self.request = request
        self.reader = reader
        self.writer = writer
        self.board = board
        self.number = 0
        self.status: int | None = None  # what was answered, as far as it came to that
        self.drops_next = False  # the next request on this connection is not answered
        self.idle_s: float | None = None  # how long the connection stays open without a request
        connection = request.header("connection").lower()
        self.closes = connection == "close" or (
            request.version == "HTTP/1.0" and connection != "keep-alive"
        )

    async def read_body(self) -> None:
        reader, request = self.reader, self.request
        if request.header("transfer-encoding").lower() == "chunked":
            pieces = []
            while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
                pieces.append((await reader.readexactly(size + 2))[:-2])
            while await reader.readuntil(b"\r\n") != b"\r\n":
                pass
            request.body = b"".join(pieces)
        elif length := request.header("content-length"):
            request.body = await reader.readexactly(int(length))

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()
        if len(data) >= PIECE:  # over TLS drain does not notice, before the loop turns, who left
            await asyncio.sleep(0)

    def good(self) -> bytes:
        return json.dumps({"path": self.request.path, "n": self.number}).encode()

    def head(self, *lines: str, status: int = 200, version: str = "HTTP/1.1") -> bytes:
        """Status line and headers, to the empty line."""
        text = "".join(f"{line}\r\n" for line in lines)
        if self.closes:
            text += "Connection: close\r\n"
        reason = REASONS.get(status, "Unheard Of")
        head = f"{version} {status} {reason}\r\n{text}\r\n".encode("latin-1")
        self.status = status
        return head

    def message(
        self,
        body: bytes,
        *lines: str,
        status: int = 200,
        kind: str = JSON,
        version: str = "HTTP/1.1",
    ) -> bytes:
        """An answer in which everything is right."""
        if status < 200 or status in {204, 304}:
            return self.head(*lines, status=status, version=version)
        length = f"Content-Length: {len(body)}"
        head = self.head(f"Content-Type: {kind}", length, *lines, status=status, version=version)
        return head if self.request.method == "HEAD" else head + body

    async def answer(
        self, body: bytes | None = None, *lines: str, status: int = 200, kind: str = JSON
    ) -> None:
        body = self.good() if body is None else body
        await self.send(self.message(body, *lines, status=status, kind=kind))

    async def answer_json(self, value: Any, *lines: str, status: int = 200) -> None:
        await self.answer(json.dumps(value).encode(), *lines, status=status)

    async def start_chunks(self, *lines: str) -> None:
        """Headers of a body of unknown length."""
        await self.send(self.head(f"Content-Type: {JSON}", "Transfer-Encoding: chunked", *lines))

    async def send_chunk(self, data: bytes) -> None:
        """A chunk, or the end of the body when there is no data."""
        await self.send(b"%x\r\n%b\r\n" % (len(data), data))

    async def send_bytewise(self, data: bytes, pause_s: float) -> None:
        for place in range(len(data)):
            await self.send(data[place : place + 1])
            await asyncio.sleep(pause_s)

    async def wait_for_the_client_to_leave(self) -> None:
        while await self.reader.read(PIECE):
            pass
        self.closes = True

    def close(self) -> None:
        """Close after what was written."""
        self.closes = True

    def reset(self) -> None:
        self.closes = True
        reset(self.writer)


def reset(writer: asyncio.StreamWriter) -> None:
    """End the connection with a RST instead of a FIN."""
    opened = writer.get_extra_info("socket")
    if opened is not None and opened.fileno() >= 0:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_0)
    writer.transport.abort()


Behaviour = Callable[[Exchange], Awaitable[None]]


class Routes(dict[str, Behaviour]):
    """Behaviours by path; a path that ends with `/` stands for all one level below it."""

    def __call__(self, *paths: str) -> Callable[[Behaviour], Behaviour]:
        def register(behaviour: Behaviour) -> Behaviour:
            self.update(dict.fromkeys(paths, behaviour))
            return behaviour

        return register

    def find(self, path: str) -> Behaviour | None:
        return self.get(path) or self.get(path[: path.rfind("/") + 1])
