"""Content-Encoding: what was encoded comes back, never more than the limit, never a traceback."""

from __future__ import annotations

import asyncio
import gzip
import importlib.util
import time
import tracemalloc
import zlib
from collections.abc import Callable
from functools import partial

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from streamproc.errors import CallError
from streamproc.http import content
from streamproc.http.content import (
    ManyStreamsError,
    accepted_encodings,
    inflate,
    inflate_aside,
)

MIB = 1 << 20
FACTS = ("", "bad_answer", "answer_too_large")


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def streamed_zstd(data: bytes) -> bytes:
    """Without its size at the front."""
    packer = zstandard.ZstdCompressor().compressobj()
    return bytes(packer.compress(data) + packer.flush())


ENCODE: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("x-gzip", gzip.compress),
    "deflate": ("deflate", zlib.compress),
    "raw deflate": ("deflate", raw_deflate),
    "br": ("br", partial(brotli.compress, quality=5)),
    "zstd": ("zstd", zstandard.ZstdCompressor().compress),
    "streamed zstd": ("zstd", streamed_zstd),
}
KINDS = pytest.mark.parametrize("kind", ENCODE)


def encoded(kind: str, data: bytes) -> tuple[bytes, str]:
    name, encode = ENCODE[kind]
    return encode(data), name


def fact(body: bytes, encodings: str, limit: int) -> str:
    try:
        inflate(body, encodings, limit)
    except CallError as error:
        return error.kind
    return ""


def kind_of(body: bytes, encodings: str, limit: int = MIB) -> str:
    with pytest.raises(CallError) as caught:
        inflate(body, encodings, limit)
    assert not caught.value.again
    return caught.value.kind


@KINDS
@given(data=st.binary(max_size=5000), extra=st.integers(0, 3))
def test_what_was_encoded_comes_back(kind: str, data: bytes, extra: int) -> None:
    body, name = encoded(kind, data)
    assert inflate(body, name, len(data) + extra) == data
    assert inflate(body, name.upper() + ",,  identity", MIB) == data


@KINDS
def test_large_bodies_come_back(kind: str) -> None:
    data = bytes(range(256)) * 20_000
    body, name = encoded(kind, data)
    assert inflate(body, name, len(data)) == data
    assert kind_of(body, name, len(data) - 1) == "answer_too_large"


@given(data=st.binary(max_size=500), kinds=st.lists(st.sampled_from(sorted(ENCODE)), max_size=5))
def test_lists_are_undone_from_their_end(data: bytes, kinds: list[str]) -> None:
    body, names = data, []
    for kind in kinds:
        body, name = encoded(kind, body)
        names.append(name)
    assert inflate(body, " , ".join(names), MIB) == data


def test_too_many_encodings_are_refused() -> None:
    assert kind_of(b"x", ", ".join(["gzip"] * 6)) == "bad_answer"


@KINDS
@given(data=st.binary(min_size=1, max_size=300), at=st.floats(0, 1, exclude_max=True))
def test_cut_streams_are_bad_answers(kind: str, data: bytes, at: float) -> None:
    body, name = encoded(kind, data)
    cut = body[: max(1, int(len(body) * at))]
    assert kind_of(cut, name) == "bad_answer"


@KINDS
@given(garbage=st.binary(min_size=1, max_size=200))
def test_garbage_never_gets_further_than_a_fact(kind: str, garbage: bytes) -> None:
    assert fact(garbage, ENCODE[kind][0], 1000) in FACTS


@KINDS
@given(data=st.binary(min_size=1, max_size=200), where=st.integers(0, 10_000), to=st.binary())
def test_damage_never_gets_further_than_a_fact(
    kind: str, data: bytes, where: int, to: bytes
) -> None:
    body, name = encoded(kind, data)
    where %= len(body)
    assert fact(body[:where] + to + body[where + 1 :], name, 1000) in FACTS


@KINDS
def test_a_bomb_costs_about_the_limit(kind: str) -> None:
    """A hundred megabytes in a few kilobytes."""
    body, name = encoded(kind, bytes(100 * MIB))
    tracemalloc.start()
    try:
        assert kind_of(body, name, MIB) == "answer_too_large"
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * MIB


def test_a_bomb_in_many_members_or_frames_is_one_too() -> None:
    """The limit counts all of them together."""
    member = gzip.compress(bytes(MIB // 2))
    assert len(inflate(member * 2, "gzip", MIB)) == MIB
    assert kind_of(member * 3, "gzip") == "answer_too_large"
    frame = zstandard.compress(bytes(MIB // 2))
    assert len(inflate(frame * 2, "zstd", MIB)) == MIB
    assert kind_of(frame * 3, "zstd") == "answer_too_large"
    assert kind_of(frame + frame[:-1], "zstd") == "bad_answer"


STREAMS = {"gzip": gzip.compress(b""), "zstd": streamed_zstd(b"")}


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("count", [1, 999, 1500, 30_000])
def test_any_number_of_streams_comes_back(name: str, count: int) -> None:
    """In a thread, if there are many: the loop has something else to do."""
    parts = [STREAMS[name], ENCODE[name][1](b"x"), STREAMS[name]]
    body = b"".join(parts[:1] * (count - 2) + parts[:2]) if count > 1 else parts[1]
    if count < 1000:
        assert inflate(body, name, 1) == b"x"
    else:
        with pytest.raises(ManyStreamsError):
            inflate(body, name, 1)
    assert asyncio.run(inflate_aside(body, name, 1)) == b"x"


def test_decoding_aside_ends_when_nobody_waits() -> None:
    """A process that ends joins its threads."""
    body = STREAMS["gzip"] * 500_000

    async def main() -> None:
        task = asyncio.create_task(inflate_aside(body, "gzip", 1))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert await inflate_aside(STREAMS["gzip"], "gzip", 1) == b""

    before_s = time.process_time()
    asyncio.run(main())
    assert time.process_time() - before_s < 1  # 2.3 s for all of it


def test_a_bomb_within_another_encoding_is_one_too() -> None:
    body = brotli.compress(gzip.compress(bytes(100 * MIB)))
    assert kind_of(body, "gzip, br") == "answer_too_large"


def test_what_follows_a_whole_stream_is_ignored_as_in_browsers() -> None:
    assert inflate(gzip.compress(b"x") + b"\0\0garbage", "gzip", 9) == b"x"
    assert inflate(zlib.compress(b"x") + b"garbage", "deflate", 9) == b"x"


def test_an_empty_body_is_not_encoded() -> None:
    """What answers to HEAD, and 304, say about another body."""
    assert inflate(b"", "gzip", 10) == b""
    assert inflate(b"", "unheard-of", 10) == b""


def test_a_huge_zstd_window_is_refused() -> None:
    """More than 8 MiB are not allowed over HTTP, however small the body is."""
    parameters = zstandard.ZstdCompressionParameters(window_log=27, enable_ldm=True)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    body = packer.compress(b"x" * 1000) + packer.flush()
    assert kind_of(body, "zstd") == "bad_answer"


def test_unknown_encodings_say_what_is_known() -> None:
    with pytest.raises(CallError, match="gzip, deflate, br, zstd"):
        inflate(b"x", "compress", 10)


def test_only_what_is_installed_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert accepted_encodings() == b"gzip, deflate, br, zstd"
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    accepted_encodings.cache_clear()
    try:
        assert accepted_encodings() == b"gzip, deflate"
        assert kind_of(brotli.compress(b"x"), "br") == "bad_answer"
        assert kind_of(zstandard.compress(b"x"), "zstd") == "bad_answer"
    finally:
        accepted_encodings.cache_clear()


def test_versions_are_compared_as_numbers() -> None:
    assert content._parts("1.10.0rc1") > content._parts("1.2")
    assert content._parts("1.1.0") < (1, 2)
