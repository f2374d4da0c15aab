"""Cases in the style of the public JSON parsing suite: what must be accepted, what refused."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamproc.codec import decode, verbatim
from streamproc.errors import DecodeError

ACCEPTED = [
    *(b"0", b"-0", b"1", b"-1", b"-123", b"123456789", b"9223372036854775807"),
    *(b"-9223372036854775808", b"9223372036854775808", b"18446744073709551615"),
    *(b"18446744073709551616", b"123456789012345678901234", b"1" * 309, b"-" + b"1" * 400),
    *(b"0.0", b"-0.0", b"1.5", b"-1.5", b"0e1", b"0E+1", b"0e-1", b"1e1", b"1E1", b"1E+2"),
    *(b"1e-2", b"1E22", b"20e1", b"123.456e78", b"123.456789", b"0.1e-7", b"0e+1"),
    *(b"-0.000000000000000000000000000000000000000000000000000000000000000000000000001",),
    *(b"1.7976931348623157e308", b"5e-324", b"1e-400", b"2.2250738585072011e-308"),
    *(b'""', b'"a"', b'" "', b'"\x7f"', rb'"\""', rb'"\\"', rb'"\/"', rb'"\b\f\n\r\t"'),
    *(rb'"\u0000"', rb'"\u0012"', rb'"\u00e9"', rb'"\uD83D\uDE39"', rb'"\u2028\u2029"'),
    *(rb'"\uFFFF"', rb'"\uFDD0"', rb'"\uD834\uDD1E"', rb'"\\u0000"', rb'"\\n"', rb'"\\a"'),
    *(rb'"\ud800"', rb'"\udc00\ud800"', rb'"\uD800\n"', rb'"\uDd1ea"', rb'"\ud800\u0041"'),
    *('"é"'.encode(), '"\u2028"'.encode(), '"\U0001f600"'.encode(), '"\ufeff"'.encode()),
    *('"\u0080\u0085"'.encode(), '"\U0010ffff"'.encode(), '"\uffff"'.encode()),
    *(b"true", b"false", b"null", b"[]", b"{}", b"[1]", b"[ 1 ]", b"[1,2]", b"[[]   ]", b'[""]'),
    *(b"[null, 1, \"1\", {}]", b"[1,null,null,null,2]", b'{"a":1}', b'{"":0}', b'{"a":{"b":[]}}'),
    *(b'{"a":"b","a":"c"}', b'{"a":"b","a":"b"}', rb'{"foo\u0000bar": 42}', b'{ "a" : 1 }'),
    *(b'{"min":-1.0e+28,"max":1.0e+28}', b"[" * 100 + b"]" * 100, b'\t{"a"\r:\t1} '),
]  # fmt: skip

REFUSED_VALUES = [
    *(b"", b" ", b"01", b"-01", b"00", b"012", b"1.", b"-1.", b".5", b"-.5", b"+1", b"++1", b"1+2"),
    *(b"-", b"--1", b"- 1", b"-a", b"-1a", b"1a", b"0x1", b"0x42", b"1_000", b"1 000", b"1,000."),
    *(b"0e", b"0e+", b"1e", b"1e+", b"1e-", b"1eE2", b"1.0e", b"1.0e+", b"0.e1", b"2.e3", b"2.e-3"),
    *(b"9.e+", b"0.1.2", b"0.3e", b"0.3e+", b"0E", b"0E+", b"1.5.", b"1e1.5", b"1e0x1", b"Inf"),
    *(b"NaN", b"-NaN", b"nan", b"Infinity", b"-Infinity", b"inf", b"Nan", b"Minf", b"1ea"),
    *('\uff11'.encode(), '\u0661'.encode(), b"123\xe5", b"0\xff", b"1e1\xe5", b"-123.123foo"),
    *(b"True", b"False", b"NULL", b"Null", b"None", b"nul", b"tru", b"fals", b"truee",
      b"undefined"),
    *(b"nulll", b"TRUE", b"a", b"abc", b"*", b"<null>", b"'a'", b"`a`", b"a\xe5", b"\xe5", b"#"),
    *(b'"', b'"a', b'a"', b'"""', b'"a""b"', rb'"\"', rb'"\x00"', rb'"\a"', rb'"\v"', rb'"\0"'),
    *(rb'"\u"', rb'"\u1"', rb'"\u12"', rb'"\u123"', rb'"\u123g"', rb'"\U00000041"', rb'"\u-123"'),
    *(rb'"\u 041"', rb'"\ud800\u"', rb'"\ud800\u1x"', rb'"\ud800\"'),
    *(rb'"\ "', rb'"\{"', rb'\n', rb'\u0041', b'"a\\', '"\\\U0001f300"'.encode(), b'"\\\xe5"'),
    *(b'"\x00"', b'"\x01"', b'"\t"', b'"\r"', b'"\x1f"', b'"\x08"', b'"\x1b"', b'"a\x00b"'),
    *(b'"\xff"', b'"\x80"', b'"\xc3"', b'"\xc3("', b'"\xe2\x82"', b'"\xc0\xaf"', b'"\xe0\x80\xaf"'),
    *(b'"\xed\xa0\x80"', b'"\xf4\x90\x80\x80"', b'"\xf8\x88\x80\x80\x80"', b'"\xfc\x83\xbf\xbf"'),
    *(b"[", b"]", b"[1", b"1]", b"[1,", b"[1,]", b"[,1]", b"[,]", b"[1,,2]", b"[1 2]", b"[1;2]"),
    *(b'["a" "b"]', b'["a":1]', b"[1]]", b"[[1]", b"[a]", b"[1\x0c]", b"[\x0b1]", b"(1)", b"[1)"),
    *(b"[1\xc2\xa0]", b"[\xe2\x81\xa0]", b"[\xef\xbb\xbf1]", b"[*]", b"[-]", b"[nul", b'["',
      b'["a'),
    *(b"{", b"{]", b"[}", b"{,}", b'{"a"}', b'{"a":}', b'{"a" 1}', b'{"a":1', b'{"a":1,}',
      b"{1:1}"),
    *(b"{a:1}", b"{'a':1}", b"{null:1}", b'{"a":1,,"b":2}', b'{"a"::1}', b'{"a"=1}',
      b'{"a":1 "b":2}'),
    *(b'{:"b"}', b'{"a",1}', b'{["a"]:1}', b'{"a":1}}', b'{"a":1}#', b'{"a":1}/**/', b"// x",
      b"/*"),
    *(b"1 // x", b"1 /* x */", b"1 # x", b"1;", b"1\x00", b"\x001", b"1\x0c", b"1\x1a", b"1\x85"),
]  # fmt: skip

REFUSED_LINES = [
    *(b"", b"{", b"}", b'{"v"', b'{"v":', b'{"v":1', b'{"v":1}}', b'{"v":1}]', b'{"v":1},', b"{]"),
    *(b'{"v":1}{"v":1}', b'{"v":1} {"v":1}', b'{"v":1}x', b'{"v":1}"', b'{"v":1}//', b'{"v":1};'),
    *(b',{"v":1}', b'x{"v":1}', b'\xef\xbb\xbf{"v":1}', b'\xef\xbb{"v":1}', b"\xef\xbb\xbf",
      b"\xff"),
    *(b'{"v":1}\x00', b'\x00{"v":1}', b'{"v":1}\x0c', b'\x0b{"v":1}', b'\xc2\xa0{"v":1}', b"{,}"),
    *(b'{"v"\x00:1}', b'{"v\x00":1}', b'{"v\t":1}', b'{"v\xff":1}', rb'{"\x":1}', rb'{"\u12":1}'),
    *(b'{"v":1,"w"}', b'{"v":1,"w":}', b'{"v":1,1}', b'{"v":1 1}', b"{v:1}", b"{'v':1}",
      b'{"v":1,}'),
    *('{"v":1}'.encode("utf-16-le"), '{"v":1}'.encode("utf-16-be"), '{"v":1}'.encode("utf-16")),
]  # fmt: skip


def test_there_are_enough_cases() -> None:
    """The selection is wide: at least 60 to accept and 100 to refuse, each once."""
    assert len(set(ACCEPTED)) == len(ACCEPTED) >= 60
    assert len(set(REFUSED_VALUES)) == len(REFUSED_VALUES) >= 100


def short(line: bytes) -> str:
    return line[:40].decode("ascii", "backslashreplace") or "empty"


@pytest.mark.parametrize("source", ACCEPTED, ids=short)
def test_accepted(source: bytes) -> None:
    """Every valid value is accepted, and means what the standard library says it means."""
    line = b'{"v":%b}' % source
    expected = json.loads(line.decode(), parse_float=lambda text: float(Decimal(text)))["v"]
    value = decode(line)["v"]
    assert value == expected
    assert type(value) is type(expected)
    assert verbatim([line]) in (None, [line])
    for around in (b" %b", b"%b\t", b"\r%b\r"):
        assert decode(around % line) == decode(line)
        assert verbatim([around % line]) in (None, [line])


@pytest.mark.parametrize("source", ACCEPTED, ids=short)
def test_accepted_as_a_member_among_others(source: bytes) -> None:
    """Also between other members, in arrays, and in objects."""
    line = b'{"a":[1],"v":[{"w":%b},%b],"z":"\xc3\xa9"}' % (source, source)
    assert repr(decode(line)["v"][1]) == repr(decode(b'{"v":%b}' % source)["v"])
    assert verbatim([line]) in (None, [line])


def test_most_lines_are_plain() -> None:
    """`verbatim` itself takes all but the rarest: only lone surrogates are left to others."""
    left = [source for source in ACCEPTED if verbatim([b'{"v":%b}' % source]) is None]
    assert all(rb"\u" in source for source in left)


@pytest.mark.parametrize("source", REFUSED_VALUES, ids=short)
def test_refused_as_a_value(source: bytes) -> None:
    """What is no JSON value is refused alone, in an object and in an array."""
    for line in (b'{"v":%b}' % source, b'{"v":[%b,0]}' % source, b'{"a":{"b":%b}}' % source):
        refused(line)


@pytest.mark.parametrize("line", REFUSED_LINES, ids=short)
def test_refused_as_a_line(line: bytes) -> None:
    """A line with anything more or less than one object is refused."""
    refused(line)


def refused(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):  # the case is one
        json.loads(line.decode(), parse_constant=_no_constant)
    with pytest.raises(DecodeError) as raised:
        decode(line)
    assert raised.value.kind == "malformed"
    assert verbatim([line]) is None
    assert verbatim([b"{}", line]) is None


def _no_constant(name: str) -> Any:
    raise ValueError(name)


@settings(max_examples=300)
@given(
    source=st.sampled_from([b'{"v":%b}' % each for each in ACCEPTED if len(each) < 60]),
    at=st.integers(0, 80),
    width=st.integers(0, 2),
    piece=st.one_of(st.binary(max_size=3), st.sampled_from([b'"', b"\\", b"{", b"]", b",", b"0"])),
)
def test_verbatim_never_accepts_what_decode_refuses(
    source: bytes, at: int, width: int, piece: bytes
) -> None:
    """However a line is damaged, the quick look passes on only what the careful one accepts."""
    line = (source[:at] + piece + source[at + width :]).replace(b"\n", b"")
    if verbatim([line]) is not None:
        assert "_error" not in decode(line)
