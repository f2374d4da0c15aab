"""What is seen of a line before it is parsed, against what is found by walking through it."""

from __future__ import annotations

import random
import sys

import pytest

from streamproc.codec import decode, encode
from streamproc.codec.integers import MOST_DIGITS, digits, integer
from streamproc.codec.shape import MAX_DEPTH, decoded_bytes, has_many_digits, is_too_deep
from streamproc.errors import RecordError, UnreadableError

ODD_STRINGS = [b'"[[["', rb'"\\"', rb'"\"]["', rb'"\\\""', b'"]}"', rb'"\\\\"', b'""']


def depth_of(line: bytes) -> int:
    level = deepest = 0
    inside = escaped = False
    for byte in line:
        if escaped:
            escaped = False
        elif inside:
            escaped = byte == ord("\\")
            inside = byte != ord('"')
        elif byte == ord('"'):
            inside = True
        elif byte in b"[{":
            level += 1
            deepest = max(deepest, level)
        elif byte in b"]}":
            level -= 1
    return deepest


def any_value(dice: random.Random, levels: int) -> bytes:
    if levels <= 0 or dice.random() < 0.2:
        return dice.choice([b"1", b"{}", b"[]", *ODD_STRINGS])
    inner = any_value(dice, levels - dice.randint(1, 3))
    if dice.random() < 0.6:
        return b"[" + b",".join([inner] * dice.randint(1, 2)) + b"]"
    return b"{" + dice.choice(ODD_STRINGS) + b":" + inner + b"}"


@pytest.mark.parametrize("chunk_bytes", [37, 1000, 64 * 1024])
def test_depth(monkeypatch: pytest.MonkeyPatch, chunk_bytes: int) -> None:
    """Counted sixteen at once, in chunks that end anywhere, it is what it is."""
    monkeypatch.setattr("streamproc.codec.shape._CHUNK_BYTES", chunk_bytes)
    dice = random.Random(chunk_bytes)
    seen = set()
    for _ in range(150):
        outer = dice.randint(490, 514)
        inner = b",".join(any_value(dice, dice.randint(1, 9)) for _ in range(40))
        line = b"[" * outer + inner + b"]" * outer
        for cut in (line, line[: -outer // 2]):
            seen.add(depth_of(cut) > MAX_DEPTH)
            assert is_too_deep(cut) is (depth_of(cut) > MAX_DEPTH)
    assert seen == {True, False}


@pytest.mark.parametrize(
    ("item", "times"),
    [(b"{}", 20), (b'{"a":1}', 20), (b'"ab"', 10)],
)
def test_what_swells(item: bytes, times: int) -> None:
    """Objects that are many times as long as their text are seen before they are made."""
    line = b'{"a":[' + b",".join([item] * ((9 << 20) // (len(item) + 1))) + b"]}"
    size = decoded_bytes(line)
    assert size is not None
    assert size > times * len(line)
    with pytest.raises(UnreadableError) as raised:
        decode(line)
    assert raised.value.kind == "too_long"


@pytest.mark.parametrize(
    "item", [b"12.5", b"[12.345678,45.678901]", b'"a sentence, as in [1], {2}"']
)
def test_what_does_not(item: bytes) -> None:
    """Numbers, coordinates and text are given to stages, however many they are."""
    line = b'{"a":[' + b",".join([item] * ((15 << 20) // (len(item) + 1))) + b"]}"
    assert decoded_bytes(line) is None


@pytest.mark.parametrize("count", [1, 1023, 1024, 1025, 2049, 4300, 4301, 9999, 50_000])
def test_integers_there_and_back(count: int) -> None:
    """As the interpreter converts them, where it does."""
    text = "".join(random.Random(count).choices("123456789", k=count))
    limit = sys.get_int_max_str_digits()
    for each in (text, "-" + text, "1" + "0" * (count - 1)):
        number = integer(each)
        assert digits(number) == each
        sys.set_int_max_str_digits(0)
        assert number == int(each)
        sys.set_int_max_str_digits(limit)
        assert decode(b'{"a":%b}' % each.encode()) == {"a": number}
        assert encode([number]) == f"[{each}]".encode()


def test_integers_that_are_too_long() -> None:
    """Neither read nor written; a record may have four of the longest."""
    for number in (10**MOST_DIGITS, -(10**MOST_DIGITS), 1 << 1_000_000):
        with pytest.raises(RecordError) as raised:
            encode({"a": number})
        assert raised.value.kind == "bad_number"
    longest = b"9" * MOST_DIGITS
    assert len(decode(b'{"a":[%b,-%b,%b,%b]}' % ((longest,) * 4))["a"]) == 4
    for line in (b'{"a":1%b}' % longest, b'{"a":[%b,%b,%b,%b,%b]}' % ((longest,) * 5)):
        with pytest.raises(UnreadableError, match=r"50,000|200,000"):
            decode(line)
    short = b",".join([b"1" * 511] * 1000)
    assert len(decode(b'{"a":[%b]}' % short)["a"]) == 1000
    assert not has_many_digits(b'{"a":"%b"}' % (b"x" * 300_000))
