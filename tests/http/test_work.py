"""Whatever comes in, the work is in proportion to its size: nothing is quadratic.

CPU time is compared with many times of what is promised (100 ms + 20 ms per MiB), and a case
fails only if it takes that long three times: this machine may be busy, a quadratic step takes
seconds. What was found stays as an explicit example.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from wire import PACK, answer_to

from streamproc.errors import CallError, RecordError
from streamproc.http.content import inflate
from streamproc.http.contract import Request, Response, Target
from streamproc.http.redirects import next_request
from streamproc.http.retry_after import retry_after_s
from streamproc.http.template import Template
from streamproc.http.url import Url

MIB = 1 << 20
SOME = settings(
    max_examples=25,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],  # making a slow case smaller takes for ever
)
SIZES = st.sampled_from([1000, 60_000, MIB // 4])


def check(work: Callable[[], int | None], size_bytes: int) -> None:
    """`work` may return how many bytes it made."""
    for _ in range(3):
        before_s = time.process_time()
        made_bytes = work() or 0
        spent_s = time.process_time() - before_s
        budget_s = 5 * (0.1 + 0.02 * (size_bytes + made_bytes) / MIB)
        if spent_s <= budget_s:
            return
    raise AssertionError(f"{spent_s:.2f} s for {size_bytes} bytes in and {made_bytes} out")


def repeated(unit: bytes, size: int) -> bytes:
    return unit * (size // len(unit) + 1)


BITS = [b"/", b"..", b".", b"\\", b"%", b"%2e", b"@", b":", b"[", b"]", b"?", b"#", b"&", b"=",
        b" ", b"\0", b"a", b"0", b"-", b"a.", b"//", b"{", b"}", b"\xc3\xa9", b"\xe3\x80\x82",
        b"http://", b"xn--", b"\xc2\xad", b";", b","]  # fmt: skip
UNITS = st.lists(st.sampled_from(BITS), min_size=1, max_size=4).map(b"".join)
TEXTS = st.builds(
    lambda before, unit, size, after: (before + repeated(unit, size) + after).decode(),
    st.sampled_from([b"", b"http://", b"https://a.example/", b"https://a@", b"https://[", b"0."]),
    UNITS,
    SIZES,
    UNITS,
)
INTEGERS = st.builds(
    lambda digits, sign: sign * (1 << digits * 10 // 3),
    st.sampled_from([10, 4500, 49_000, 600_000]),
    st.sampled_from([1, -1]),
)
PLACES = [
    Url(Template.parse(url), {"q": Template.parse("a{v}")}, hosts)
    for url, hosts in [
        ("https://a.example/{v}/x", ()),
        ("https://a.example/{v}.{v}", ()),
        ("{v}", ("*",)),
        ("https://{v}/x", ("*",)),
        ("https://www.{v}.example:80/", ("*:80",)),
    ]
]


@SOME
@example(value=1 << 2_000_000)
@example(value="http://" + "a." * 500_000)
@given(value=TEXTS | INTEGERS)
def test_urls_and_templates(value: Any) -> None:
    size = len(value) if isinstance(value, str) else value.bit_length() // 3
    for place in PLACES:

        def render(place: Url = place) -> int:
            with suppress(RecordError):
                return len(place.render({"v": value})[1])
            return 0

        check(render, size)


LAYERS = st.lists(
    st.tuples(st.sampled_from(sorted(PACK)), st.sampled_from([1, 3, 900, 20_000])), max_size=3
)


@SOME
@example(data=b"", layers=[("gzip", 50_000), ("gzip", 1)], cut=0)
@example(data=b"", layers=[("zstd", 110_000)], cut=0)
@example(data=bytes(MIB), layers=[("gzip", 3)], cut=1)
@given(
    data=st.builds(repeated, UNITS, SIZES) | st.just(b""),
    layers=LAYERS,
    cut=st.sampled_from([0, 1, 7]),
)
def test_encodings(data: bytes, layers: list[tuple[str, int]], cut: int) -> None:
    """Any number of streams one after the other, each of them encoded again."""
    for name, times in layers:
        packed = PACK[name](data)
        data = packed * min(times, 1 + MIB // len(packed))
    body = data[: len(data) - cut]
    encodings = ",".join(name for name, _ in layers)

    def undo() -> int:
        with suppress(Exception):
            return len(inflate(body, encodings, 2 * MIB))
        return 2 * MIB * len(layers)

    check(undo, len(body))


LINES = [b"X: y\r\n", b"x:\r\n", b"\r\n", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 \r\n\r\n",
         b"Transfer-Encoding: chunked\r\n\r\n", b"Content-Encoding: gzip\r\n", b"2\r\nxy\r\n",
         b"Content-Length: 99999\r\n\r\n", b"Content-Length: 0\r\n\r\n", b"1;e\r\nx\r\n",
         b"0\r\n", b"a", b" ", b"\n", b"HTTP/1.1 103 \r\nLink: x\r\n\r\n",
         b"1;" + b"e" * 16 + b"\r\n"]  # fmt: skip
ANSWERS = st.builds(
    lambda before, unit, size, after: b"".join(before) + repeated(unit, size) + b"".join(after),
    st.lists(st.sampled_from(LINES), max_size=3).map(lambda each: [LINES[3], *each]),
    st.lists(st.sampled_from(LINES), min_size=1, max_size=3).map(b"".join),
    SIZES,
    st.lists(st.sampled_from(LINES), max_size=3),
)


@SOME
@given(data=ANSWERS, piece=st.sampled_from([1000, 16_385, 1 << 18]))
def test_heads_and_chunks(data: bytes, piece: int) -> None:
    async def answered() -> None:
        with suppress(CallError):
            await answer_to(data, piece, 10 * MIB)

    check(lambda: asyncio.run(answered()), len(data))


NAMES = [b"date", b"retry-after", b"retry-after-ms", b"x-ratelimit-reset", b"ratelimit",
         b"x-ratelimit-reset-after", b"x-ratelimit-reset-requests", b"ratelimit-remaining",
]  # fmt: skip
MARKS = [b"1", b"1h", b"1ms", b".", b",", b";", b"r=0", b"t=1", b"reset", b'"', b" ", b"(", b")",
         b"Mon, ", b"Jan ", b":", b"-", b"GMT", b"\xff", b"\\"]  # fmt: skip
VALUES = st.builds(
    lambda unit, size: repeated(b"".join(unit), size),
    st.lists(st.sampled_from(MARKS), min_size=1, max_size=4),
    st.sampled_from([10, 4000, 64_000]),
)


@settings(SOME, max_examples=50)
@given(headers=st.lists(st.tuples(st.sampled_from(NAMES), VALUES), min_size=1, max_size=4))
def test_when_to_ask_again(headers: list[tuple[bytes, bytes]]) -> None:
    response = Response(429, headers, b"")
    check(lambda: bool(retry_after_s(response, 1.8e9)), sum(len(value) for _, value in headers))


@SOME
@given(location=TEXTS.filter(lambda text: "\0" not in text), allowed=st.booleans())
def test_where_a_redirect_leads(location: str, allowed: bool) -> None:
    request = Request(Target("https", "a.example", 443), b"GET", b"/" + b"x/" * 30_000)
    response = Response(302, [(b"location", location.encode()[:64_000])], b"")

    def follow() -> None:
        with suppress(CallError):
            next_request(request, response)

    check(follow, 64_000)
