"""Nothing is silently altered: an output line is its input line with the new member spliced in."""

import asyncio
import json
from typing import Any

from hypothesis import given, settings
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
few = settings(max_examples=60)


def run(stages: list[Any], lines: list[bytes]) -> list[bytes]:
    async def main() -> list[bytes]:
        sink = MemorySink()
        summary = await Pipeline(stages).run(MemorySource(lines), sink)
        assert (summary.exit_code, summary.ok) == (0, len(lines)), sink.data
        return sink.lines

    return asyncio.run(main())


def spliced(line: bytes, member: bytes) -> bytes:
    comma = b"," if json.loads(line, parse_int=str) else b""
    return line[:-1] + comma + member + b"}"


ANSWER = {"x": [1, 2.5, None], "é": "ü", "n": 10**23}
ANSWER_JSON = rb'{"x":[1,2.5,null],"\u00e9":"\u00fc","n":100000000000000000000000}'


@few
@given(LINES)
def test_none(lines: list[bytes]) -> None:
    """The stage that does nothing does nothing."""
    assert run(["none"], lines) == lines


@few
@given(LINES)
def test_nothing_to_add(lines: list[bytes]) -> None:
    """A function with nothing to add leaves the line as it came."""
    assert run([lambda record: None], lines) == lines


@few
@given(LINES)
def test_plain_function(lines: list[bytes]) -> None:
    """The result of a plain function under its name, and not a byte more."""
    expected = [spliced(line, b'"score":{"x":1}') for line in lines]
    assert run([("score", lambda record: {"x": 1})], lines) == expected


@few
@given(LINES)
def test_coroutine_function(lines: list[bytes]) -> None:
    """The same from a coroutine function, whose records overtake each other."""

    async def score(record: dict[str, Any]) -> Any:
        await asyncio.sleep(0)
        return ANSWER

    expected = [spliced(line, b'"score":' + ANSWER_JSON) for line in lines]
    assert run([("score", score)], lines) == expected


@few
@given(LINES)
def test_coroutine_functions_with_usual_results(lines: list[bytes]) -> None:
    """Small results, under a name and merged, also when some calls are answered at once."""

    async def score(record: dict[str, Any]) -> Any:
        if len(record) % 2:
            await asyncio.sleep(0)
        return {"n": 1}

    assert run([("score", score)], lines) == [spliced(line, b'"score":{"n":1}') for line in lines]
    assert run([score], lines) == [spliced(line, b'"n":1') for line in lines]


@few
@given(LINES)
def test_merged_members(lines: list[bytes]) -> None:
    """A plain function's members, merged at the top level."""
    assert run([lambda record: {"n": 1}], lines) == [spliced(line, b'"n":1') for line in lines]


@few
@given(LINES)
def test_changed_argument_that_is_returned(lines: list[bytes]) -> None:
    """The commonest function: only what it has set is added."""

    def score(record: dict[str, Any]) -> dict[str, Any]:
        record["n"] = 1
        return record

    assert run([score], lines) == [spliced(line, b'"n":1') for line in lines]


@few
@given(LINES)
def test_vandals(lines: list[bytes]) -> None:
    """What a function does to its argument, and to what is inside, is nobody's loss."""

    def vandal(record: dict[str, Any]) -> dict[str, Any]:
        for value in record.values():
            if isinstance(value, dict | list):
                value.clear()
        record.clear()
        record["junk"] = 1
        return {"n": None}

    assert run([vandal], lines) == [spliced(line, b'"n":null') for line in lines]


@few
@given(LINES)
def test_several_stages(lines: list[bytes]) -> None:
    """Stage after stage splices, a plain one after a coroutine one."""

    async def first(record: dict[str, Any]) -> Any:
        return len(record)

    def second(record: dict[str, Any]) -> dict[str, Any]:
        return {"n": record["score"]}

    outs = run([("score", first), second], lines)
    for line, out in zip(lines, outs, strict=True):
        size = len(json.loads(line, parse_int=str))
        assert out == spliced(line, b'"score":%d,"n":%d' % (size, size))


def test_the_members_are_what_the_function_returned() -> None:
    """Integers leave exactly, other text as the encoder writes it."""
    [line] = run([("score", lambda record: ANSWER)], [b'{"a":1.10}'])
    assert json.loads(line)["score"] == ANSWER
    assert line == spliced(b'{"a":1.10}', b'"score":' + ANSWER_JSON)
