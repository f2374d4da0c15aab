"""Answers whose framing is right: the contents are good, or strange."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import zlib
from contextlib import suppress
from functools import cache
from importlib import import_module
from typing import Any
from urllib.parse import unquote

from .wire import PIECE, Exchange, Routes


def library(name: str) -> Any:
    """An optional module, or None."""
    try:
        return import_module(name)
    except ImportError:
        return None


brotli = library("brotli")
zstandard = library("zstandard")
MEGABYTE = 1_000_000
PATIENCE_S = 30
ZEROS = b"0" * MEGABYTE
GZIP_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"

routes = Routes()


async def pause(x: Exchange, default: float = 0.0) -> None:
    seconds = x.request.decimal("s", default)
    if seconds > 0:
        await asyncio.sleep(seconds)


@routes("/ok")
async def ok(x: Exchange) -> None:
    await pause(x)
    await x.answer()


@routes("/echo")
async def echo(x: Exchange) -> None:
    request = x.request
    await x.answer_json({
        "method": request.method,
        "path": request.path,
        "query": request.raw_query,
        "headers": request.headers,
        "body": request.body.decode("utf-8", "backslashreplace"),
    })  # fmt: skip


@routes("/status/")
async def status(x: Exchange) -> None:
    body = x.request.query.get("body")
    code = int(x.request.path.rpartition("/")[2])
    await x.answer(None if body is None else body.encode(), status=code)


@routes("/delay")
async def delay(x: Exchange) -> None:
    """`s` seconds; with `until`, from when so many requests were in progress at a time."""
    enough = x.board.recall("delay", first=asyncio.Event())
    if x.board.max_in_progress >= x.request.whole("until", 0):
        enough.set()
    with suppress(TimeoutError):  # a count that is never reached is for the test to see
        await asyncio.wait_for(enough.wait(), PATIENCE_S)
    await pause(x, 0.1)
    await x.answer()


@routes("/company/")
async def company(x: Exchange) -> None:
    await pause(x)
    name = unquote(x.request.path.rpartition("/")[2])
    await x.answer_json({"name": name, "size": zlib.crc32(name.encode()) % 10_000 + 1})


async def read_list(x: Exchange) -> list[Any] | None:
    await pause(x)
    try:
        items = json.loads(x.request.body)
    except ValueError:
        items = None
    if isinstance(items, list):
        return items
    await x.answer_json({"error": "the body has to be a JSON list"}, status=400)
    return None


@routes("/bulk", "/bulk/short")
async def bulk(x: Exchange) -> None:
    items = await read_list(x)
    if items is not None:
        short = x.request.path.endswith("short")
        answers = [{"i": i, "got": item} for i, item in enumerate(items)]
        await x.answer_json(answers[:-1] if short else answers)


@routes("/bulk/shuffled")
async def bulk_shuffled(x: Exchange) -> None:
    key = x.request.text("key", "id")
    items = await read_list(x)
    if items is None:
        return
    answers = [{key: item[key], "i": i, "got": item} for i, item in enumerate(items)]
    order = random.Random(x.number).sample(answers, len(answers))
    if order == answers:
        order = answers[1:] + answers[:1]
    await x.answer_json(order)


FIXED = {
    "/not-json": b"this is not JSON",
    "/empty": b"",
    "/bad-utf8": b'{"x": "\xff\xfe"}',
    "/nan": b'{"x": NaN}',
    "/infinite": b'{"x": [{"y": 1e999}]}',
    "/bigint": b'{"n": 123456789012345678901234567890}',
    "/null": b"null",
    "/list": b"[1, 2, 3]",
}


@routes(*FIXED)
async def fixed(x: Exchange) -> None:
    await x.answer(FIXED[x.request.path])


@routes("/html")
async def html(x: Exchange) -> None:
    await x.answer(b"<!doctype html><h1>Sorry</h1>", kind="text/html; charset=utf-8")


@routes("/204", "/304")
async def bodiless(x: Exchange) -> None:
    await x.answer(status=int(x.request.path[1:]))


@routes("/utf16")
async def utf16(x: Exchange) -> None:
    kind = "application/json" + ("; charset=utf-16" if x.request.whole("charset", 0) else "")
    await x.answer(x.good().decode().encode("utf-16"), kind=kind)


@routes("/deep")
async def deep(x: Exchange) -> None:
    levels = x.request.whole("levels", 100_000)
    await x.answer(b"[" * levels + b"]" * levels)


@routes("/cookie")
async def cookie(x: Exchange) -> None:
    await x.answer(None, "Set-Cookie: session=secret; Path=/")


@routes("/large")
async def large(x: Exchange) -> None:
    """A JSON string of exactly so many bytes, in quotes."""
    left = max(x.request.whole("bytes", MEGABYTE), 2) - 2
    await x.send(x.head("Content-Type: application/json", f"Content-Length: {left + 2}") + b'"')
    while left:
        size = min(left, PIECE)
        await x.send(b"a" * size)
        left -= size
    await x.send(b'"')


@routes("/endless")
async def endless(x: Exchange) -> None:
    await x.start_chunks()
    await x.send_chunk(b'"')
    while True:
        await x.send_chunk(b"a" * PIECE)


@routes("/gzip")
async def gzipped(x: Exchange) -> None:
    await x.answer(gzip.compress(x.good()), "Content-Encoding: gzip")


@routes("/gzip/broken")
async def gzip_broken(x: Exchange) -> None:
    data = gzip.compress(x.good())
    broken = {
        "garbage": data[:10] + b"\xff" * 10 + data[20:],
        "checksum": data[:-8] + b"\x00" * 4 + data[-4:],
        "cut": data[:-12],
        "trailing": data + b"garbage",
    }
    await x.answer(broken[x.request.text("kind", "garbage")], "Content-Encoding: gzip")


@cache
def checksum_of(megabytes: int) -> int:
    """Of a whole bomb, which hardly anybody reads to its end."""
    checksum = zlib.crc32(b'"')
    for _ in range(megabytes):
        checksum = zlib.crc32(ZEROS, checksum)
    return zlib.crc32(b'"', checksum)


@routes("/gzip/bomb")
async def gzip_bomb(x: Exchange) -> None:
    """A JSON string of very many `0`; a compressed megabyte of them is sent again and again."""
    megabytes = x.request.whole("mb", 1024)

    def deflated(data: bytes, end: int = zlib.Z_FULL_FLUSH) -> bytes:
        packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        return packer.compress(data) + packer.flush(end)

    piece = deflated(ZEROS)
    await x.start_chunks("Content-Encoding: gzip")
    await x.send_chunk(GZIP_HEAD + deflated(b'"'))
    for _ in range(megabytes):
        await x.send_chunk(piece)
        await asyncio.sleep(0)
    size = (megabytes * MEGABYTE + 2) & 0xFFFFFFFF
    sums = checksum_of(megabytes).to_bytes(4, "little") + size.to_bytes(4, "little")
    await x.send_chunk(deflated(b'"', zlib.Z_FINISH) + sums)
    await x.send_chunk(b"")


@routes("/deflate")
async def deflate(x: Exchange) -> None:
    """With the zlib wrapper that the standard asks for, or raw as some send it."""
    packer = zlib.compressobj(
        wbits=-zlib.MAX_WBITS if x.request.whole("raw", 0) else zlib.MAX_WBITS
    )
    await x.answer(packer.compress(x.good()) + packer.flush(), "Content-Encoding: deflate")


@routes("/br")
async def br(x: Exchange) -> None:
    if brotli is None:
        await x.answer(status=501)
    else:
        await x.answer(brotli.compress(x.good()), "Content-Encoding: br")


@routes("/zstd")
async def zstd(x: Exchange) -> None:
    if zstandard is None:
        await x.answer(status=501)
    else:
        packed = zstandard.ZstdCompressor().compress(x.good())
        await x.answer(packed, "Content-Encoding: zstd")


@routes("/encoding")
async def encoding(x: Exchange) -> None:
    await x.answer(None, f"Content-Encoding: {x.request.text('name', 'unheard-of')}")
