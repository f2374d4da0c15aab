"""Nothing is silently altered: an output line is its input line with the new member spliced in."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from streamproc import Pipeline
from streamproc.testing import MemorySink, MemorySource

SPACE = st.sampled_from(["", "", "", " ", "\t", "  ", " \r "])
DIGITS = st.text("0123456789", max_size=30)
INTEGER = st.builds(
    lambda sign, first, rest: sign + ("0" if first == "0" else first + rest),
    st.sampled_from(["", "-"]), st.sampled_from("0123456789"), DIGITS,
)  # fmt: skip
NUMBER = st.builds(
    lambda whole, fraction, exponent: whole + fraction + exponent,
    INTEGER,
    st.one_of(st.just(""), DIGITS.map(lambda digits: f".{digits}0")),
    st.sampled_from(["", "", "e0", "E5", "e+10", "E-7", "e400", "e-400", "e99999"]),
)
LONG = st.integers(300, 6000).map(lambda length: "9" * length)
ESCAPE = st.sampled_from(
    [r"\"", r"\\", r"\/", r"\b", r"\n", r"\u00e9", r"\u0000", r"\u2028", r"\ud800", r"\uDC00",
     r"\ud83d\ude00", r"\u0061"]
)  # fmt: skip
PLAIN = st.characters(min_codepoint=0x20, exclude_categories=["Cs"], exclude_characters='"\\')
STRING = st.lists(st.one_of(PLAIN, ESCAPE), max_size=8).map(lambda parts: f'"{"".join(parts)}"')
LITERAL = st.sampled_from(["true", "false", "null", '"null"'])
KEY = st.one_of(STRING, st.sampled_from(['"a"', r'"\u0061"', '"raw"', '""'])).map(
    lambda key: '"k"' if json.loads(key) in ("_error", "score", "n") else key
)


def joined(opening: str, parts: list[str], closing: str, space: str) -> str:
    return opening + space + f"{space},{space}".join(parts) + space + closing


def values(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    arrays = st.builds(lambda p, s: joined("[", p, "]", s), st.lists(inner, max_size=3), SPACE)
    return st.one_of(arrays, objects(inner))


def objects(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    member = st.builds(lambda k, s, v: f"{k}{s}:{s}{v}", KEY, SPACE, inner)
    return st.builds(lambda p, s: joined("{", p, "}", s), st.lists(member, max_size=5), SPACE)


VALUE = st.recursive(st.one_of(INTEGER, NUMBER, LONG, STRING, LITERAL), values, max_leaves=6)
USUAL = st.sampled_from(
    [
        rb'{"a":1.10,"b":-0,"c":[1E5, 2]}',
        rb'{"s":"\u00e9\/", "d":{"a":1.0 } }',
        b'{"i":12345678901}',
    ]
)
LINES = st.one_of(
    st.lists(objects(VALUE).map(str.encode), min_size=1, max_size=12),
    st.lists(USUAL, min_size=1, max_size=40),  # whole batches of them take shorter ways
)


def run(stages: list[Any], lines: list[bytes]) -> list[bytes]:
    async def main() -> list[bytes]:
        sink = MemorySink()
        summary = await Pipeline(stages).run(MemorySource(lines), sink)
        assert (summary.exit_code, summary.ok) == (0, len(lines)), sink.data
        return sink.lines

    return asyncio.run(main())


def size_of(line: bytes) -> int:
    return len(json.loads(line, parse_int=str))


def spliced(line: bytes, member: bytes) -> bytes:
    comma = b"," if size_of(line) else b""
    return line[:-1] + comma + member + b"}"


ANSWER = {"x": [1, 2.5, None], "é": "ü", "n": 10**23}
ANSWER_JSON = rb'{"x":[1,2.5,null],"\u00e9":"\u00fc","n":100000000000000000000000}'


def nothing(record: dict[str, Any]) -> None:
    return None


def plain(record: dict[str, Any]) -> Any:
    return {"x": 1}


def plain_number(record: dict[str, Any]) -> Any:
    return {"n": 1}


async def overtaking(record: dict[str, Any]) -> Any:
    await asyncio.sleep(0)
    return ANSWER


async def sometimes_at_once(record: dict[str, Any]) -> Any:
    if len(record) % 2:
        await asyncio.sleep(0)
    return {"n": 1}


def changed_argument(record: dict[str, Any]) -> dict[str, Any]:
    record["n"] = 1
    return record


def vandal(record: dict[str, Any]) -> dict[str, Any]:
    for value in record.values():
        if isinstance(value, dict | list):
            value.clear()
    record.clear()
    record["junk"] = 1
    return {"n": None}


async def size(record: dict[str, Any]) -> Any:
    return len(record)


def size_again(record: dict[str, Any]) -> dict[str, Any]:
    return {"n": record["score"]}


WAYS: dict[str, tuple[list[Any], Callable[[bytes], bytes]]] = {
    "the stage that does nothing": (["none"], lambda line: line),
    "a function with nothing to add": ([nothing], lambda line: line),
    "a result under its name": ([("score", plain)], lambda line: spliced(line, b'"score":{"x":1}')),
    "records that overtake each other": (
        [("score", overtaking)],
        lambda line: spliced(line, b'"score":' + ANSWER_JSON),
    ),
    "calls of which some are answered at once": (
        [("score", sometimes_at_once)],
        lambda line: spliced(line, b'"score":{"n":1}'),
    ),
    "the same, merged": ([sometimes_at_once], lambda line: spliced(line, b'"n":1')),
    "members of a plain function": ([plain_number], lambda line: spliced(line, b'"n":1')),
    "its argument, with what it set": (
        [changed_argument],
        lambda line: spliced(line, b'"n":1'),
    ),
    "a function that destroys its argument": ([vandal], lambda line: spliced(line, b'"n":null')),
    "stage after stage": (
        [("score", size), size_again],
        lambda line: spliced(line, b'"score":%d,"n":%d' % (size_of(line), size_of(line))),
    ),
}


@given(LINES)
def test_every_way_leaves_a_line_as_it_came(lines: list[bytes]) -> None:
    """A function's members under a name or merged, and not a byte more.

    Lines take longer to think of than to run: all ways are given the same.
    """
    for what, (stages, expected) in WAYS.items():
        assert run(stages, lines) == list(map(expected, lines)), what


def test_the_members_are_what_the_function_returned() -> None:
    """Integers leave exactly, other text as the encoder writes it."""
    [line] = run([("score", lambda record: ANSWER)], [b'{"a":1.10}'])
    assert json.loads(line)["score"] == ANSWER
    assert line == spliced(b'{"a":1.10}', b'"score":' + ANSWER_JSON)
