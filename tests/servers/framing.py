"""Answers whose bytes break the rules of HTTP, or use its rare ones."""

from __future__ import annotations

import asyncio

from .wire import PIECE, Exchange, Routes

TYPE = "Content-Type: application/json"
MEBIBYTE = 1 << 20
UNASKED = b'{"unasked": true}'

routes = Routes()


@routes("/never")
async def never(x: Exchange) -> None:
    await x.wait_for_the_client_to_leave()


@routes("/slow-body")
async def slow_body(x: Exchange) -> None:
    body = x.good()
    await x.send(x.head(TYPE, f"Content-Length: {len(body)}"))
    await x.send_bytewise(body, x.request.decimal("s", 0.05))


@routes("/bytes")
async def bytewise(x: Exchange) -> None:
    await x.send_bytewise(x.message(x.good()), x.request.decimal("s", 0.001))


@routes("/close/before")
async def close_before(x: Exchange) -> None:
    x.close()


@routes("/close/headers")
async def close_headers(x: Exchange) -> None:
    await x.send(x.head(TYPE, "Content-Length: 10")[:30])
    x.close()


@routes("/close/body")
async def close_body(x: Exchange) -> None:
    await x.send(x.message(x.good())[:-10])
    x.close()


@routes("/close/chunk")
async def close_chunk(x: Exchange) -> None:
    await x.start_chunks()
    await x.send(b"64\r\n" + x.good())
    x.close()


@routes("/reset/before")
async def reset_before(x: Exchange) -> None:
    x.reset()


@routes("/reset/body")
async def reset_body(x: Exchange) -> None:
    await x.send(x.message(x.good())[:-10])
    await asyncio.sleep(x.request.decimal("s", 0.05))  # what was sent is to arrive
    x.reset()


async def claim(x: Exchange, *lines: str) -> None:
    await x.send(x.head(TYPE, *lines) + x.good())


@routes("/length/short")
async def length_short(x: Exchange) -> None:
    await claim(x, f"Content-Length: {len(x.good()) - 5}")


@routes("/length/long")
async def length_long(x: Exchange) -> None:
    await claim(x, f"Content-Length: {len(x.good()) + 5}")
    x.close()


@routes("/length/duplicate")
async def length_duplicate(x: Exchange) -> None:
    length = len(x.good())
    await claim(x, f"Content-Length: {length}", f"Content-Length: {length - 5}")


@routes("/length/same-twice")
async def length_same_twice(x: Exchange) -> None:
    await claim(x, *[f"Content-Length: {len(x.good())}"] * 2)


@routes("/length/garbage")
async def length_garbage(x: Exchange) -> None:
    await claim(x, f"Content-Length: {x.request.text('value', 'banana')}")
    x.close()


@routes("/length/none")
async def length_none(x: Exchange) -> None:
    await claim(x)
    x.close()


@routes("/length/and-chunked")
async def length_and_chunked(x: Exchange) -> None:
    await x.start_chunks("Content-Length: 5")
    await x.send_chunk(x.good())
    await x.send_chunk(b"")


@routes("/chunked")
async def chunked(x: Exchange) -> None:
    body = x.good()
    await x.start_chunks("Trailer: X-Checked")
    await x.send(b'4;name=value;quoted="a;b"\r\n%b\r\n' % body[:4])
    await x.send_chunk(body[4:8])
    await x.send(b"%X ; spaced\r\n%b\r\n" % (len(body) - 8, body[8:]))
    await x.send(b"000\r\nX-Checked: yes\r\n\r\n")


@routes("/chunked/broken")
async def chunked_broken(x: Exchange) -> None:
    body = x.good()
    await x.start_chunks()
    await x.send_chunk(body[:8])
    size = x.request.text("size", "zz").encode("latin-1", "replace")
    await x.send(b"%b\r\n%b\r\n0\r\n\r\n" % (size, body[8:]))
    x.close()


async def send_long_headers(x: Exchange, piece: bytes, times: int) -> None:
    """A good answer, with this piece many times among its headers."""
    start, _, rest = x.message(x.good()).partition(b"\r\n")
    await x.send(start + b"\r\n")
    together = max(1, PIECE // len(piece))
    while times:
        batch = min(times, together)
        await x.send(piece * batch)
        times -= batch
    await x.send(rest)


@routes("/headers/huge")
async def headers_huge(x: Exchange) -> None:
    line = b"X-Filler: " + b"a" * 1012 + b"\r\n"
    await send_long_headers(x, line, x.request.whole("mb", 1024) * MEBIBYTE // len(line))


@routes("/headers/long-line")
async def headers_long_line(x: Exchange) -> None:
    await x.answer(None, "X-Long: " + "a" * x.request.whole("bytes", 1_000_000))


@routes("/headers/many")
async def headers_many(x: Exchange) -> None:
    count = x.request.whole("count", 10_000)
    await x.answer(None, *(f"X-{number}: {number}" for number in range(count)))


@routes("/stale")
async def stale(x: Exchange) -> None:
    await x.answer()
    x.drops_next = True


@routes("/stale/idle")
async def stale_idle(x: Exchange) -> None:
    await x.answer()
    x.idle_s = x.request.decimal("s", 0.05)


@routes("/unsolicited")
async def unsolicited(x: Exchange) -> None:
    await x.answer()
    await asyncio.sleep(x.request.decimal("s", 0.02))
    await x.answer(UNASKED)


@routes("/pipelined-garbage")
async def pipelined_garbage(x: Exchange) -> None:
    await x.send(x.message(x.good()) + b"\x00garbage\r\n\r\n")


@routes("/redirect/loop")
async def redirect_loop(x: Exchange) -> None:
    await x.answer(None, "Location: /redirect/loop", status=302)


@routes("/redirect/chain")
async def redirect_chain(x: Exchange) -> None:
    left = x.request.whole("n", 3)
    if left > 0:
        await x.answer(None, f"Location: /redirect/chain?n={left - 1}", status=302)
    else:
        await x.answer()


@routes("/redirect/to")
async def redirect_to(x: Exchange) -> None:
    code = x.request.whole("code", 302)
    await x.answer(None, f"Location: {x.request.text('url', '/ok')}", status=code)


@routes("/continue")
async def go_on(x: Exchange) -> None:
    await x.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    await x.read_body()
    await x.answer()


@routes("/early-hints")
async def early_hints(x: Exchange) -> None:
    await x.send(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n")
    await x.answer()


@routes("/early")
async def early(x: Exchange) -> None:
    x.close()
    await x.answer()


@routes("/switch")
async def switch(x: Exchange) -> None:
    await x.send(x.head("Upgrade: websocket", "Connection: Upgrade", status=101))
    await x.wait_for_the_client_to_leave()


@routes("/http10")
async def http10(x: Exchange) -> None:
    await x.send(x.message(x.good(), version="HTTP/1.0"))
    x.close()


@routes("/close-header")
async def close_header(x: Exchange) -> None:
    x.close()
    await x.answer()


@routes("/bad-status-line")
async def bad_status_line(x: Exchange) -> None:
    line = x.request.text("line", "HTTP/1.1 banana").encode("latin-1", "replace")
    _, _, rest = x.message(x.good()).partition(b"\r\n")
    await x.send(line + b"\r\n" + rest)


@routes("/bad-header")
async def bad_header(x: Exchange) -> None:
    await x.answer(None, x.request.text("line", "this is no header"))


@routes("/bare-lf")
async def bare_lf(x: Exchange) -> None:
    await x.send(x.message(x.good()).replace(b"\r\n", b"\n"))
