"""What a failed record is written as, and the way back to its original line."""

import json
from base64 import b64encode
from typing import Any

import pytest

from streamproc.codec import Document, Outline, decode, one_line, original_line
from streamproc.codec.failure import as_annotated, as_dead_letter
from streamproc.errors import DecodeError
from streamproc.record import Failed

FAILED = Failed("score", "exception", "ValueError: no", 1, {"file": "in.jsonl", "line": 7})
MALFORMED = Failed("decode", "malformed", "no", 0, {"file": "in.jsonl", "line": 7})
TOO_LONG = Failed(
    "decode", "too_long", "long", 0,
    {"file": "in.jsonl", "line": 7, "length_bytes": 99, "sha256": "ab", "offset": 3},
)  # fmt: skip

RECORDS = [
    b"{}", b"{ }", b'{"a":1}', b'{ "a" : 1.10 , "a":-0 }', b'{"id":123456789012345678901234}',
    rb'{"a":"\ud800","\u0061":"\/"}', '{"é":"\u2028"}'.encode(), b'{"n":1e400,"m":1e-400}',
    b'{"v":%b}' % (b"8" * 5000), b'{"raw":"x"}', b'{"raw_base64":"eA==","b":1}', b'{"added":["a"]}',
    b'{"a":{"_error":{"raw":"no"}}}', b'{"a":"},\\"_error\\":{"}',
]  # fmt: skip
NO_RECORDS = [
    b"not json", b"[1]", b"\xff\xfe", b'{"a":"\xe9"}', b'{"a":1', b"x\r", b"\x00\t", b'"\\"',
    b"\xef\xbb\xbf{}", "\u2028\u0085".encode(), b'{"_error":', b"\xed\xa0\x80",
]  # fmt: skip


@pytest.mark.parametrize("raw", RECORDS + NO_RECORDS + [r + b" \r" for r in RECORDS])
def test_dead_letters_give_the_line_back(raw: bytes) -> None:
    """A dead letter holds the original byte for byte, CR and bad UTF-8 included."""
    letter = as_dead_letter(FAILED, raw)
    assert b"\n" not in letter
    fields = json.loads(letter)
    assert fields["_error"]["kind"] == "exception"
    assert ("raw_base64" in fields) is not _is_utf8(raw)
    assert original_line(letter) == raw


@pytest.mark.parametrize("raw", NO_RECORDS)
def test_lines_that_are_no_records_give_the_line_back(raw: bytes) -> None:
    """Annotated, they are an object with nothing but `_error`, which holds the line."""
    line = as_annotated(MALFORMED, raw, None)
    error = json.loads(line)["_error"]
    assert error["stage"] == "decode"
    assert "attempts" not in error
    assert (error["line"], error["file"]) == (7, "in.jsonl")
    assert ("raw" in error) is _is_utf8(raw)
    assert original_line(line) == raw


@pytest.mark.parametrize("raw", RECORDS)
def test_annotated_records_give_the_line_back(raw: bytes) -> None:
    """A record that no stage had added to: its `_error` is taken off, nothing else."""
    line = as_annotated(FAILED, raw, Document(raw))
    assert decode(line)["_error"]["message"] == "ValueError: no"
    assert line.startswith(raw[:-1])
    assert original_line(line) == raw


def added(document: Document) -> None:
    document.put(("x",), {"y": [1, None]})
    document.merge({"z": 10**23, "é": "\ud800"})


def nested(document: Document) -> None:
    document.put(("x", "y"), 1)
    document.put(("x", "z"), 2)


def replaced_own(document: Document) -> None:
    document.put(("x",), 1)
    document.put(("x",), 2)


def rewritten(document: Document) -> None:
    document.put((next(iter(document.fields), "new"),), "changed")


@pytest.mark.parametrize("raw", RECORDS)
@pytest.mark.parametrize("stages", [added, nested, replaced_own, rewritten])
def test_annotated_records_with_additions_give_the_line_back(raw: bytes, stages: Any) -> None:
    """What stages had added, or changed, before the failure is undone."""
    document = Document(raw)
    stages(document)
    line = as_annotated(FAILED, raw, document)
    fields = decode(line)
    assert document.fields.items() <= fields.items() or "inf" in repr(fields)
    assert original_line(line) == raw


@pytest.mark.parametrize("raw", RECORDS)
def test_transformed_records_give_the_line_back(raw: bytes) -> None:
    """A record that a transform replaced carries its original."""
    line = as_annotated(FAILED, raw, Document(raw).replace({"other": 1}))
    assert decode(line)["other"] == 1
    assert original_line(line) == raw


def test_the_annotation_names_what_was_added() -> None:
    """`_error.added` tells a person what came from stages; `raw` is there only when needed."""
    document = Document(b'{"a":1}')
    assert "added" not in decode(as_annotated(FAILED, document.line, document))["_error"]
    added(document)
    error = decode(as_annotated(FAILED, b'{"a":1}', document))["_error"]
    assert error["added"] == ["x", "z", "é"]
    assert "raw" not in error
    rewritten(document)
    assert decode(as_annotated(FAILED, b'{"a":1}', document))["_error"]["raw"] == '{"a":1}'


@pytest.mark.parametrize(
    "line",
    [as_annotated(TOO_LONG, None, None), as_dead_letter(TOO_LONG, None)],
    ids=["annotated", "dead letter"],
)
def test_a_too_long_line_cannot_be_given_back(line: bytes) -> None:
    """It was never kept; the error says where it is."""
    error = json.loads(line)["_error"]
    assert (error["length_bytes"], error["sha256"], error["offset"]) == (99, "ab", 3)
    assert "raw" not in json.loads(line)
    with pytest.raises(DecodeError, match=r"line 7 of in\.jsonl") as raised:
        original_line(line)
    assert raised.value.kind == "too_long"


def test_a_too_long_line_of_nobody_knows_where() -> None:
    """It may have been edited."""
    with pytest.raises(DecodeError) as raised:
        original_line(b'{"_error":{"stage":"decode","kind":"too_long"}}')
    assert raised.value.message == "the original was too long to be kept"


@pytest.mark.parametrize("line", [*RECORDS, b"{}", b'{"error":1}'])
def test_good_lines_have_no_original(line: bytes) -> None:
    """A line without `_error` is nobody's failure."""
    assert original_line(line) is None


@pytest.mark.parametrize("line", [b"x", b"[]", b"", b'{"_error":{}'])
def test_what_is_no_record_is_an_error(line: bytes) -> None:
    """Files that are no output of ours are refused, not guessed at."""
    with pytest.raises(DecodeError):
        original_line(line)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"a": 1.0,"_error":"own"}', b'{"a": 1.0}'),
        (b'{"a":1.0,"_error":null}', b'{"a":1.0}'),
        (b'{"a":1.0,"_error":{"added":7}}', b'{"a":1.0}'),
        (b'{"_error":{},"a":1.0}', b'{"a":1.0}'),
        (b'{"a":1.0,"_error":{"kind":"x","raw":7}}', b'{"a":1.0}'),
    ],
)
def test_foreign_errors(line: bytes, expected: bytes) -> None:
    """An `_error` of another shape is taken off all the same."""
    assert original_line(line) == expected


@pytest.mark.parametrize("name", ["stage", "kind", "message", "raw", "raw_base64", "added"])
def test_details_do_not_take_the_place_of_facts(name: str) -> None:
    """What user code tells about a failure can not make replay give back something else."""
    raw = b'{"a":1,"b":2}'
    failed = Failed("score", "exception", "no", 1, {name: ["a"], "more": 1})
    line = as_annotated(failed, raw, Document(raw))
    assert (
        decode(line)["_error"].items() >= {"stage": "score", "kind": "exception", "more": 1}.items()
    )
    assert original_line(line) == raw
    assert original_line(as_dead_letter(failed, raw)) == raw


def test_a_record_whose_stage_says_too_long_was_kept() -> None:
    """Only a line that was too long to be read is lost."""
    raw = b'{"a":1}'
    failed = Failed("score", "too_long", "the summary is too long", 1)
    assert original_line(as_annotated(failed, raw, Document(raw))) == raw


@pytest.mark.parametrize("value", [{1, 2}, b"x", float("nan"), [object], {1: 2}])
def test_details_that_are_no_json_are_shown(value: Any) -> None:
    """A detail that JSON has no word for is written as Python shows it; the rest stays."""
    failed = Failed("score", "exception", "no", 1, {"more": value, "line": 7})
    error = decode(as_annotated(failed, b"{}", Document(b"{}")))["_error"]
    assert (error["more"], error["line"], error["message"]) == (repr(value), 7, "no")


SOURCES = b'{"b":{"kind":"timeout","message":"late"}}'


def test_details_that_cannot_be_shown() -> None:
    """Of what has no text either, only the kind of thing is said; the record is not lost."""
    value: Any = 1
    for _ in range(3000):
        value = [value]
    line = as_annotated(Failed("s", "k", "m", 1, {"bad": value, "good": 1}), b"x", None)
    error = json.loads(line)["_error"]
    assert (error["bad"], error["good"], error["raw"]) == ("list", 1, "x")


def test_keep_sources() -> None:
    """With `keep_sources` a record remembers which sources of which stage are to be asked again."""
    line = b'{"a": 1.0,"x":2,"_error":{"stage":"s","kind":"timeout","sources":%b,"added":["x"]}}'
    kept = original_line(line % SOURCES, keep_sources=True)
    mark = b'{"stage":"s","sources":%b,"added":["x"]}' % SOURCES
    assert kept == b'{"a": 1.0,"x":2,"_error":%b}' % mark
    assert original_line(line % SOURCES) == b'{"a": 1.0}'


def test_keep_sources_of_a_dead_letter() -> None:
    """A letter also holds what the record was by then, and that is what is gone on with."""
    raw = b'{ "a": 1.0 }'
    document = Document(raw)
    document.put(("x",), 2)
    failed = Failed("s", "timeout", "b: late", 1, {"sources": decode(SOURCES)})
    letter = as_dead_letter(failed, raw, document)
    assert original_line(letter) == raw
    kept = original_line(letter, keep_sources=True)
    mark = b'{"stage":"s","sources":%b,"added":["x"]}' % SOURCES
    assert kept == b'{ "a": 1.0 ,"x":2,"_error":%b}' % mark
    again = Document(kept)
    assert again.failed_sources == ("s", frozenset({"b"}))
    again.begin_again()
    assert (again.line, again.original) == (b'{ "a": 1.0 ,"x":2}', raw)


def test_keep_sources_of_what_a_transform_made() -> None:
    """Others may have been made of the same record: all of it is done again."""
    raw = b'{"a":1}'
    failed = Failed("s", "timeout", "b: late", 1, {"sources": decode(SOURCES)})
    letter = as_dead_letter(failed, raw, Document(raw).replace({"part": 1}))
    assert original_line(letter, keep_sources=True) == raw


@pytest.mark.parametrize("sources", [b"{}", b'{"b":1}', b"[]", b"null"])
def test_sources_that_are_none(sources: bytes) -> None:
    """What is called sources by somebody else marks nothing: the record is given back as it was."""
    line = b'{"a":1,"_error":{"stage":"s","kind":"k","sources":%b}}' % sources
    assert original_line(line, keep_sources=True) == b'{"a":1}'


@pytest.mark.parametrize(
    "line",
    [
        b'{"_error":{},"raw_base64":"eA="}',
        b'{"_error":{},"raw_base64":"eyJhIjo$$xfQ=="}',
        b'{"_error":{"raw_base64":"\xc3\xa9"}}',
        rb'{"_error":{},"raw":"\ud800"}',
        b'{"a":1,"_error":{"added":[{}]}}',
        b'{"a":1,"_error":{"added":["a",[]]}}',
        b'{"a":1,"_error":{"x":%b}}' % (b"9" * 60_000),
    ],
)
def test_damaged_letters(line: bytes) -> None:
    """What was damaged is said to be, and nothing else is given back in its place."""
    with pytest.raises(DecodeError):
        original_line(line)


def test_one_line() -> None:
    """A message may be written over several lines; in a file it is one."""
    assert one_line(b'{\n  "a": 1\r\n}') == b'{   "a": 1\r }'
    assert one_line(b"x\ry") == b"x\ry"
    for original in (b'{"a":1}\n{"a":2}', b"x\ny", b'{"a":"\n"}', b"\n"):
        with pytest.raises(DecodeError, match="newlines"):
            one_line(original)


def test_an_error_of_somebody_else_is_kept() -> None:
    """A record that had an `_error` and fails has ours in its place, and is given back."""
    raw = b'{"_error":"theirs","a":1}'
    line = as_annotated(FAILED, raw, Document(raw))
    assert decode(line)["_error"]["kind"] == "exception"
    assert line.startswith(b'{"a":1,')
    assert original_line(line) == raw
    assert original_line(as_annotated(FAILED, raw, Outline.of(raw))) == raw


@pytest.mark.parametrize("raw", RECORDS)
def test_records_that_were_not_decoded(raw: bytes) -> None:
    """An outline is enough to annotate a record."""
    line = as_annotated(FAILED, raw, Outline.of(raw))
    assert line == as_annotated(FAILED, raw, Document(raw))


@pytest.mark.parametrize("raw", [r for r in NO_RECORDS if r != b'{"_error":'])
def test_what_has_no_outline(raw: bytes) -> None:
    """An outline is made of records only."""
    with pytest.raises(DecodeError):
        Outline.of(raw)


def test_a_dead_letter_of_bytes() -> None:
    """What is not UTF-8 stands as base64, in the letter and in the annotation."""
    raw = b'{"a":"\xff"}\r'
    expected = b64encode(raw).decode()
    assert json.loads(as_dead_letter(MALFORMED, raw))["raw_base64"] == expected
    assert json.loads(as_annotated(MALFORMED, raw, None))["_error"]["raw_base64"] == expected


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True
