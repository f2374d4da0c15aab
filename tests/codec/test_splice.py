"""New members into a record: untouched bytes stay as they came."""

import math
from collections.abc import Callable
from typing import Any

import pytest

from streamproc.codec import Document, decode, encode, splice
from streamproc.codec.same import same

# One per row of what a parse and a dump would change.
LOSSY = [
    b"-9223372036854775808", b"18446744073709551615", b"18446744073709551616",
    b"-9223372036854775809", b"123456789012345678901234", b"7" * 400, b"7" * 5000,
    b"-" + b"9" * 10_000, b"1e400", b"-1e400", b"1e-400", b"-0", b"-0.0", b"0.10000000000000001",
    b"123456789.123456789", b"1.10", b"1E5", b"1e+05", b"19.90", b"1.0",
    rb'"\ud800"', rb'"\u00e9\/\u2028"', '"é\u2028\u0085"'.encode(), rb'"\u0000"', b'"\x7f"',
    b"[ 1 ,  2.50 ]", b'{ "x" : [ ] ,"x":1.0 }', b"true", b"null", b"{}", b"[]", b'""',
]  # fmt: skip

Record = dict[str, Any]


def short(source: bytes) -> str:
    return source[:30].decode("ascii", "backslashreplace")


def merged(line: bytes, function: Callable[[Record], Any]) -> bytes:
    document = Document(line)
    document.merge(function(document.fields))
    assert decode(document.line) is not None
    return document.line


@pytest.mark.parametrize("source", LOSSY, ids=short)
class TestEveryRow:
    """Whatever a value looks like, it looks like that afterwards."""

    def test_untouched(self, source: bytes) -> None:
        """With nothing to add the line goes out as it came."""
        line = b'{"v" : %b}' % source
        assert Document(line).line == line
        assert merged(line, lambda record: {}) == line

    def test_named(self, source: bytes) -> None:
        """A stage's result goes before the last brace, and nothing else changes."""
        document = Document(b'{ "v":%b ,"w": 1 }' % source)
        document.put(("new",), {"x": 1})
        assert document.line == b'{ "v":%b ,"w": 1 ,"new":{"x":1}}' % source

    def test_merged(self, source: bytes) -> None:
        """So do members that are merged."""
        out = merged(b'{"v": %b}' % source, lambda record: {"n": 1, "m": None})
        assert out == b'{"v": %b,"n":1,"m":null}' % source

    def test_returned_as_it_came(self, source: bytes) -> None:
        """Members that come back unchanged count as not returned."""
        out = merged(b'{"v": %b}' % source, lambda record: {**record, "n": 1})
        assert out == b'{"v": %b,"n":1}' % source

    def test_argument_changed_and_returned(self, source: bytes) -> None:
        """The commonest function changes its argument and returns it."""

        def function(record: Record) -> Record:
            record["n"] = 1
            return record

        assert merged(b'{"v": %b}' % source, function) == b'{"v": %b,"n":1}' % source

    def test_beside_a_replaced_key(self, source: bytes) -> None:
        """Where one key is replaced, the others keep their bytes."""
        out = merged(b'{"a":%b,"b":1,"c":%b}' % (source, source), lambda record: {"b": 2})
        assert out == b'{"a":%b,"b":2,"c":%b}' % (source, source)

    def test_beside_a_nested_result(self, source: bytes) -> None:
        """A result at `b.c` changes neither `a` nor what else is in `b`."""
        document = Document(b'{"a":%b,"b":{"d":%b}}' % (source, source))
        document.put(("b", "c"), 1)
        assert document.line == b'{"a":%b,"b":{"d":%b,"c":1}}' % (source, source)

    def test_transformed(self, source: bytes) -> None:
        """A replaced record keeps the bytes of the members that are equal."""
        document = Document(b'{"v":%b,"w":1}' % source)
        other = document.replace({**document.fields, "w": 2})
        assert other.line == b'{"v":%b,"w":2}' % source


def test_a_record_without_members() -> None:
    """`{}` has no member to put a comma after."""
    assert merged(b"{}", lambda record: {"n": 1}) == b'{"n":1}'
    assert merged(b"{ }", lambda record: {"n": 1}) == b'{ "n":1}'
    assert Document(b"{ }").line == b"{ }"


def test_white_space_around_is_taken_off() -> None:
    """White space around the record and a CR are all that is not given back."""
    assert Document(b' \t{"a":1} \r').line == b'{"a":1}'
    assert merged(b'\t{"a":1}\r', lambda record: {"n": 1}) == b'{"a":1,"n":1}'


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("1", 1.0, b"1.0"), ("1", True, b"true"), ("1.0", 1, b"1"), ("true", 1, b"1"),
        ("0", False, b"false"), ("0.0", -0.0, b"-0.0"), ("0", 0.0, b"0.0"), ("[1]", [1.0],
        b"[1.0]"),
        ('{"k":1}', {"k": True}, b'{"k":true}'), ("null", False, b"false"), ('"1"', 1, b"1"),
        ("[]", {}, b"{}"), ('{"k":1}', {}, b"{}"), ("[1]", [1, 2], b"[1,2]"),
    ],
)  # fmt: skip
def test_equal_means_equal_in_type_as_well(before: str, after: Any, expected: bytes) -> None:
    """`1`, `1.0` and `True` are three values: returning another one replaces."""
    line = f'{{"v":{before},"w":19.90}}'.encode()
    assert merged(line, lambda record: {"v": after}) == b'{"v":%b,"w":19.90}' % expected
    assert Document(line).replace({"v": after}).line == b'{"v":%b}' % expected
    assert not same(decode(line)["v"], after)


def test_nested_containers_changed_in_place() -> None:
    """A container that was changed in place is different from what was given."""

    def function(record: Record) -> Record:
        record["list"].append(3)
        record["dict"]["deep"]["x"] = 2
        return record

    line = b'{"list":[1, 2],"dict":{"deep":{"x": 1}},"same":[1, 2],"price":19.90}'
    assert merged(line, function) == (
        b'{"list":[1,2,3],"dict":{"deep":{"x":2}},"same":[1, 2],"price":19.90}'
    )


def test_a_changed_argument_that_is_not_returned_changes_nothing() -> None:
    """What an enricher returns is what is added; its argument is its own to play with."""

    def function(record: Record) -> Record:
        record.clear()
        record["junk"] = 1
        return {"n": 1}

    assert merged(b'{"a": 1.0}', function) == b'{"a": 1.0,"n":1}'


def test_duplicate_keys_stay() -> None:
    """Duplicates stay as they came, unless that key is replaced."""
    line = rb'{"a":1,"b":2,"a":3,"\u0061":19.90}'
    assert merged(line, lambda record: {"n": 1}) == line[:-1] + b',"n":1}'
    assert merged(line, lambda record: {"b": 5}) == rb'{"a":1,"b":5,"a":3,"\u0061":19.90}'
    assert merged(line, lambda record: {"a": 5}) == b'{"a":5,"b":2}'
    assert (
        Document(line).replace({"a": 19.9, "b": 5}).line == rb'{"a":1,"a":3,"\u0061":19.90,"b":5}'
    )


def test_keys_of_a_transformed_record_are_strings() -> None:
    """A record with another key is refused, not written as what is no JSON."""
    for line in (b'{"a":1}', b'{"a": 1}'):
        for value in ({1: 2}, {"a": 1, None: 2}):
            with pytest.raises(TypeError, match="JSON keys are strings"):
                Document(line).replace(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("nested", [b"[]", b"[[[[]]]]", b'{"]":["}"]}', b"[" * 300 + b"]" * 300])
@pytest.mark.parametrize("odd", [b"", rb'"\u0061":1,', b'"z":[1],', b'"b" :1,', rb'"\ud800":[],'])
def test_all_ways_to_find_members_find_the_same(nested: bytes, odd: bytes) -> None:
    """Compact or not, with a name twice or not, however deep."""
    line = b'{%b"z":%b,"x":%b,"y":19.90}' % (odd, nested, nested)
    document = Document(line)
    document.put(("x",), 2)
    assert document.line == b'{%b"z":%b,"x":2,"y":19.90}' % (odd, nested)
    value = {**Document(line).fields, "x": 2}
    expected = b'"z":%b,"x":2,"y":19.90}' % nested
    assert Document(line).replace(value).line.endswith(expected)
    assert merged(line, lambda record: {**record, "n": 1}) == line[:-1] + b',"n":1}'
    assert splice.without(line, {"x", "y"}).endswith(b'"z":%b}' % nested)
    assert splice.values(line)["x"] == nested


@pytest.mark.parametrize("colon", [b":", b" : "])
def test_kept_and_new_members_stay_in_the_order_of_a_transform(colon: bytes) -> None:
    """Also where they take turns."""
    line = b'{"a":1.0,"b":2.0,"c":[1.0],"d":4}'.replace(b":", colon)
    given = Document(line).fields
    value = {"x": 1, "a": given["a"], "y": 2, "z": None, "d": 5, "c": given["c"], "b": 2.0, "w": {}}
    assert Document(line).replace(value).line == (
        b'{"x":1,"a":1.0,"y":2,"z":null,"d":5,"c":[1.0],"b":2.0,"w":{}}'
    )
    assert Document(line).replace({}).line == b"{}"
    assert Document(line).replace({"new": "\ud800"}).line == rb'{"new":"\ud800"}'


def test_an_escaped_key_is_that_key() -> None:
    """A key is there however it is spelled, and keeps its spelling."""
    document = Document(rb'{"\u0065nrichment":1.0,"x":1.0}')
    document.put(("enrichment",), 2)
    assert document.line == rb'{"\u0065nrichment":2,"x":1.0}'


def test_a_replaced_key_keeps_its_place_and_spaces_inside_of_others() -> None:
    """The value takes the old one's place; other values keep their bytes."""
    document = Document(b'{"a":[1,  2],"n":1,"b":{ "c" : 1E5 }}')
    document.put(("n",), "new")
    assert document.line == b'{"a":[1,  2],"n":"new","b":{ "c" : 1E5 }}'


@pytest.mark.parametrize(
    ("line", "path", "expected"),
    [
        (b'{"a":1.0}', ("b", "c"), b'{"a":1.0,"b":{"c":0}}'),
        (b"{}", ("b", "c", "d"), b'{"b":{"c":{"d":0}}}'),
        (b'{"b":{}}', ("b", "c"), b'{"b":{"c":0}}'),
        (b'{"b":{"x":1.0}}', ("b", "c", "d"), b'{"b":{"x":1.0,"c":{"d":0}}}'),
        (b'{"b":{"c":5,"x":1.0}}', ("b", "c"), b'{"b":{"c":0,"x":1.0}}'),
        (b'{"b":7,"a":1.0}', ("b", "c"), b'{"b":{"c":0},"a":1.0}'),
        (b'{"b":[1],"a":1.0}', ("b", "c"), b'{"b":{"c":0},"a":1.0}'),
        (rb'{"\u0062":{"x":19.90}}', ("b", "c"), rb'{"\u0062":{"x":19.90,"c":0}}'),
    ],
)
def test_nested_results(line: bytes, path: tuple[str, ...], expected: bytes) -> None:
    """`into = "b.c"` makes the objects on its way, and leaves what else is in them."""
    document = Document(line)
    document.put(path, 0)
    assert document.line == expected
    assert document.fields == decode(expected)


def test_stages_see_what_stages_before_them_added() -> None:
    """`fields` and `line` say the same at every moment."""
    document = Document(b'{"a":1.0}')
    document.put(("x",), 1)
    document.merge({"y": 2})
    document.merge({"x": 3})
    document.put(("z", "w"), 4)
    assert document.fields == {"a": 1.0, "x": 3, "y": 2, "z": {"w": 4}} == decode(document.line)
    assert document.line == b'{"a":1.0,"x":3,"y":2,"z":{"w":4}}'


@pytest.mark.parametrize("value", [math.nan, math.inf, {1}, b"x", {1: 2}])
def test_a_refused_value_changes_nothing(value: Any) -> None:
    """A value that is not JSON is an error, and the record stays as it was."""
    for put in (
        lambda d: d.put(("n",), value),
        lambda d: d.put(("a",), value),
        lambda d: d.put(("b", "c"), value),
        lambda d: d.merge({"n": value}),
        lambda d: d.merge({"a": value}),
    ):
        document = Document(b'{"a": 1.0}')
        with pytest.raises((TypeError, ValueError)):
            put(document)
        assert document.line == b'{"a": 1.0}'


def test_a_long_integer_from_user_code_is_written_exactly() -> None:
    """Integers leave as exactly as they come."""
    for number in (10**23 + 7, -(10**399), 10**4999 + 1, 10**9999):
        assert merged(b'{"a":1}', lambda record, n=number: {"n": n}) == (
            b'{"a":1,"n":%b}' % encode(number)
        )


@pytest.mark.parametrize(
    ("record", "left"),
    [
        (b'{"a":1,"x":2}', b'{"a":1}'),
        (b'{"a": 1, "x": 2}', b'{"a": 1}'),
        (b'{ "a": 1 , "x": 2 }', b'{ "a": 1 }'),
        (b'{"x": 2}', b"{}"),
        (b'{ "x":2,"y":3 }', b"{ }"),
        (b'{"x": 2, "a": 1}', b'{"a":1}'),
    ],
)
def test_without(record: bytes, left: bytes) -> None:
    """Members are taken out; what came before them keeps its bytes."""
    assert splice.without(record, {"x", "y"}) == left
    assert splice.without(record, {"none"}) == record
