"""Line → record: what reaches user code is what the line says."""

import math
from typing import Any

import pytest

from streamproc.codec import decode, decode_any, decode_finite, verbatim
from streamproc.codec.decode import MAX_DEPTH, is_too_deep
from streamproc.errors import DecodeError


def kind_of(line: bytes) -> str:
    with pytest.raises(DecodeError) as raised:
        decode(line)
    assert raised.value.message
    return raised.value.kind


@pytest.mark.parametrize(
    "number",
    [0, -1, 2**53 + 1, 2**63 - 1, -(2**63), 2**63, 2**64 - 1, 2**64, -(2**63) - 1, 10**23 + 7],
)
def test_integers_are_exact(number: int) -> None:
    """An integer of any size reaches user code as that integer."""
    value = decode(b'{"v":%d}' % number)["v"]
    assert type(value) is int
    assert value == number


@pytest.mark.parametrize("digits", [24, 308, 309, 400, 4299, 4300, 4301, 5000, 8601, 10_000])
@pytest.mark.parametrize("sign", ["", "-"])
def test_integers_of_any_length_are_exact(digits: int, sign: str) -> None:
    """No number of digits is too many, neither for orjson nor for the interpreter."""
    text = ("1234567890" * (digits // 10 + 1))[:digits]
    value = decode(f'{{"v":{sign}{text}}}'.encode())["v"]
    assert type(value) is int
    expected = 0
    for start in range(0, digits, 1000):  # in pieces: the interpreter refuses more at once
        piece = text[start : start + 1000]
        expected = expected * 10 ** len(piece) + int(piece)
    assert value == (-expected if sign else expected)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("0.1", 0.1),
        ("0.10000000000000001", 0.1),
        ("123456789.123456789", 123456789.123456789),
        ("1.10", 1.1),
        ("19.90", 19.9),
        ("1E5", 100000.0),
        ("1e-400", 0.0),
        ("1e400", math.inf),
        ("-1e400", -math.inf),
        ("1.0", 1.0),
        ("-0.0", -0.0),
    ],
)
def test_other_numbers_are_floats(source: str, expected: float) -> None:
    """A number with a point or an exponent is a Python float, whatever its size."""
    value = decode(f'{{"v":{source}}}'.encode())["v"]
    assert type(value) is float
    assert value == expected
    assert math.copysign(1, value) == math.copysign(1, expected)


@pytest.mark.parametrize(
    "number",
    ["1e400", "-1e400", "1E400", "1e+400", "1E+0400", "9.9e999", "2e308", "1" + "0" * 309 + ".0",
     "123456789" * 35 + "e0", "1234567890" * 30 + "e10"],
)  # fmt: skip
def test_numbers_beyond_a_double_are_not_finite(number: str) -> None:
    with pytest.raises(DecodeError) as raised:
        decode_finite(f'[{{"v":{number}}}]'.encode())
    assert raised.value.kind == "bad_number"


@pytest.mark.parametrize(
    "value", ["1e307", "1E-400", "1e-999", "1" + "0" * 500, '"1e400"', '"E+999"', '{"e000":1}']
)
def test_what_only_looks_so_is_finite(value: str) -> None:
    assert decode_finite(value.encode()) == decode_any(value.encode())


def test_minus_zero_is_zero_for_user_code() -> None:
    """`-0` is an integer in JSON, and Python has one integer zero."""
    value = decode(b'{"v":-0}')["v"]
    assert (type(value), value) == (int, 0)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (rb'"\ud800"', "\ud800"),
        (rb'"\udc00x"', "\udc00x"),
        (rb'"\ud83d\ude00"', "\U0001f600"),
        (rb'"\u00e9\/\u2028"', "\u00e9/\u2028"),
        ('"\u2028\u0085\u00e9"'.encode(), "\u2028\u0085\u00e9"),
        (rb'"\u0000\n\t\""', '\0\n\t"'),
        (b'"\x7f"', "\x7f"),
    ],
)
def test_strings(source: bytes, expected: str) -> None:
    """Every escape means its character, lone surrogates included."""
    assert decode(b'{"v":%b}' % source) == {"v": expected}


def test_lone_surrogate_as_a_key() -> None:
    """Keys are strings like any others."""
    assert decode(rb'{"\ud800":1}') == {"\ud800": 1}


@pytest.mark.parametrize("line", [b'{"a":1,"b":2,"a":3}', rb'{"a":1,"b":2,"\u0061":3}'])
def test_of_equal_keys_the_last_one_counts(line: bytes) -> None:
    """Equal keys are equal however they are spelled."""
    assert decode(line) == {"a": 3, "b": 2}


@pytest.mark.parametrize(
    "line",
    [
        b'{"v":"a\x00b"}',
        b'{"v":"a\tb"}',
        b'{"v":"a\rb"}',
        b'{"a\tb":1}',
        b'{"v":"\xff"}',
        b'{"v":"\xc3"}',
        b'{"v":"\xed\xa0\x80"}',  # a surrogate as UTF-8
        b'{"v":"\xc0\xaf"}',  # an overlong slash
        b'{"v":NaN}',
        b'{"v":Infinity}',
        b'{"v":-Infinity}',
        b'\xef\xbb\xbf{"v":1}',
        b"\xff\xfe{\x00}\x00",
        b"{\x00}\x00",
        b'{"v":1}\x00',
        b'{"v":1}\x0c',
        b'{"v":1}{"v":2}',
        b'{"v":1',
        b'{"v":\xc2\xa01}',
    ],
)
def test_what_is_no_json_is_malformed(line: bytes) -> None:
    """Raw control characters, bad UTF-8, NaN, a BOM that nobody took off: all refused."""
    assert kind_of(line) == "malformed"
    assert verbatim([line]) is None


@pytest.mark.parametrize(
    ("line", "word"),
    [
        (b"[]", "array"),
        (b'"x"', "string"),
        (b"1", "number"),
        (b"1.5", "number"),
        (b"true", "boolean"),
        (b"null", "null"),
    ],
)
def test_json_that_is_no_object(line: bytes, word: str) -> None:
    """Valid JSON that is no object is told from what is no JSON, and the message names it."""
    with pytest.raises(DecodeError, match=word) as raised:
        decode(line)
    assert raised.value.kind == "not_an_object"
    assert verbatim([line]) is None


def arrays(depth: int) -> bytes:
    return b'{"v":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


def objects(depth: int) -> bytes:
    return b'{"v":' * depth + b"1" + b"}" * depth


def mixed(depth: int) -> bytes:
    pairs, odd = divmod(depth, 2)
    if odd:
        return b'{"v":' + b'[{"v":' * pairs + b"1" + b"}]" * pairs + b"}"
    return b'{"v":[' * pairs + b"]}" * pairs


@pytest.mark.parametrize("nested", [arrays, objects, mixed])
def test_depth(nested: Any) -> None:
    """512 levels are a record, 513 are `too_deep`, and so are a hundred thousand."""
    line = nested(MAX_DEPTH)
    value: Any = decode(line)
    levels = 0
    while isinstance(value, dict | list):
        levels += 1
        value = (value["v"] if isinstance(value, dict) else value[0]) if value else None
    assert levels == MAX_DEPTH == 512
    assert verbatim([line]) == [line]
    for depth in (MAX_DEPTH + 1, MAX_DEPTH + 2, 1100, 100_000):
        assert kind_of(nested(depth)) == "too_deep"
        assert verbatim([nested(depth)]) is None


def test_depth_of_an_answer() -> None:
    """It may be an array, which has 512 levels in fewer bytes than any object."""
    assert decode_any(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    with pytest.raises(DecodeError, match="deeper than 512 levels"):
        decode_any(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1))


@pytest.mark.parametrize("inside", [b"[" * 2000, b"{" * 2000, rb"\"" + b"[" * 2000, b"\\\\"])
def test_brackets_in_strings_do_not_nest(inside: bytes) -> None:
    """What stands in a string is text, also behind an escaped quote or backslash."""
    line = b'{"%b":"%b","v":[%b]}' % (inside, inside, b",".join([b"{}"] * 600))
    assert len(decode(line)["v"]) == 600
    assert not is_too_deep(line)
    assert verbatim([line]) == [line]


def test_width_is_not_depth() -> None:
    """A thousand arrays beside each other are as deep as one."""
    line = b'{"v":[' + b",".join([b"[]"] * 5000) + b"]}"
    assert len(decode(line)["v"]) == 5000


@pytest.mark.parametrize("line", [b"[" * 5000, b'{"v":' * 5000, b'{"v":' + b"[" * 700 + b"}"])
def test_brackets_that_are_never_closed(line: bytes) -> None:
    """A line that is both torn and deep is refused, not a crash."""
    assert kind_of(line) in ("malformed", "too_deep")


def test_white_space_around_a_record() -> None:
    """White space around the record and the CR of a CRLF are accepted, and not given back."""
    assert decode(b' \t{"v":1} \r') == {"v": 1}
    assert verbatim([b' \t{"v": 1} \r', b'{"w":2}']) == [b'{"v": 1}', b'{"w":2}']


def test_verbatim_wants_all_lines_plain() -> None:
    """One line that is no record sends the whole batch the careful way."""
    good = b'{"v":1}'
    bad = (b"", b" ", b"x", b"[]", b'{"v":"\xff"}', b'{"_error":1}', rb'{"\u005ferror":{}}')
    for line in bad:
        assert verbatim([good, line, good]) is None
    assert verbatim([good] * 3) == [good] * 3
    assert verbatim([]) == []
