"""A client that sees every byte."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any

from .running import HOST, Server

PATIENCE_S = 30


def connect(server: Server) -> socket.socket:
    return socket.create_connection((HOST, server.port), timeout=PATIENCE_S)


def connect_tls(server: Server) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=str(server.ca_file))
    plain = socket.create_connection((HOST, server.ports["tls"]["good"]), timeout=PATIENCE_S)
    return context.wrap_socket(plain, server_hostname="localhost")


def request(path: str, *, body: bytes = b"", method: str = "", last: bool = True) -> bytes:
    method = method or ("POST" if body else "GET")
    lines = [f"{method} {path} HTTP/1.1", "Host: here", f"Content-Length: {len(body)}"]
    lines += ["Connection: close"] * last
    return "\r\n".join([*lines, "\r\n"]).encode() + body


def read_all(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65536), b""))


def read_answer(connection: socket.socket) -> tuple[int, bytes]:
    """One answer of a connection that stays open."""
    with connection.makefile("rb", buffering=0) as file:
        status = int(file.readline().split()[1])
        while (line := file.readline()) != b"\r\n":
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        body = b""
        while len(body) < length:
            body += file.read(length - len(body))
        return status, body


def raw(server: Server, path: str, **options: Any) -> bytes:
    with connect(server) as connection:
        connection.sendall(request(path, **options))
        return read_all(connection)


def ask(server: Server, path: str, **options: Any) -> tuple[int, bytes, bytes]:
    """Status, headers, body."""
    head, _, body = raw(server, path, **options).partition(b"\r\n\r\n")
    return int(head.split()[1]), head, body


def good(path: str, number: int = 1) -> bytes:
    return json.dumps({"path": path, "n": number}).encode()


def dechunk(data: bytes) -> bytes:
    body = b""
    while True:
        line, _, data = data.partition(b"\r\n")
        size = int(line.split(b";")[0], 16)
        if not size:
            return body
        body, data = body + data[:size], data[size + 2 :]


def until(condition: Callable[[], bool]) -> None:
    """Wait for it, not for ever."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
