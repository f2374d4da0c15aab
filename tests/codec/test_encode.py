"""Value → JSON, or a refusal; never a silent change."""

import dataclasses
import json
import math
import tracemalloc
from decimal import Decimal
from typing import Any

import pytest

from streamproc.codec import decode, encode


@pytest.mark.parametrize(
    "value",
    [
        None, True, False, 0, -1, 1.5, -0.0, 1e300, "", "é\u2028\0", [], {}, [[]],
        {"a": {"b": [1]}},
        "null", ["null"], {"null": None}, 2**64, -(2**63) - 1, 10**23 + 7,
        [2**70, None, "x", 1.5, True, {"k": [2**70]}],
    ],
)  # fmt: skip
def test_json_values_are_written_exactly(value: Any) -> None:
    """What is JSON comes back as it was, in value and in type."""
    back = json.loads(encode(value))
    assert back == value
    assert repr(back) == repr(value)


def test_it_is_compact() -> None:
    """No white space that nobody asked for."""
    assert encode({"a": [1, {"b": None}], "c": 2**70}) == b'{"a":[1,{"b":null}],"c":%d}' % 2**70


@pytest.mark.parametrize("digits", [19, 20, 24, 400, 4214, 4215, 4300, 4301, 5000, 10_000])
@pytest.mark.parametrize("sign", [1, -1])
def test_integers_of_any_length(digits: int, sign: int) -> None:
    """Integers are written digit by digit at any length, zeros in the middle included."""
    number = sign * (10 ** (digits - 1) + 7)
    expected = b"-" * (sign < 0) + b"1" + b"0" * (digits - 2) + b"7"
    assert encode(number) == expected
    assert decode(b'{"v":%b}' % encode(number)) == {"v": number}


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    ("wrap", "place"),
    [
        (lambda n: n, ""),
        (lambda n: {"a": n}, "a: "),
        (lambda n: {"a": [0, {"b": n}]}, "a[1].b: "),
        (lambda n: {"a": (1.0, n)}, "a[1]: "),
        (lambda n: {"big": 2**70, "a": [n]}, "a[0]: "),
        (lambda n: {"null": None, "a": n}, "a: "),
    ],
)
def test_nan_and_infinities_are_refused(number: float, wrap: Any, place: str) -> None:
    """JSON has no word for them; `null` instead would be a silent change."""
    with pytest.raises(ValueError, match="is not JSON") as raised:
        encode(wrap(number))
    assert str(raised.value).startswith(f"{place}{number} is not JSON")


@pytest.mark.parametrize("value", [{1}, frozenset(), b"x", Decimal("1.5"), object(), 1j, range(3)])
@pytest.mark.parametrize("wrap", [lambda v: v, lambda v: {"a": v}, lambda v: {"b": 2**70, "a": v}])
def test_types_that_are_not_json_are_refused(value: Any, wrap: Any) -> None:
    """Sets, bytes, Decimals: the error names the type, and the place."""
    with pytest.raises(TypeError, match=f"{type(value).__name__} is not JSON") as raised:
        encode(wrap(value))
    assert str(raised.value).startswith("a: ") == isinstance(wrap(value), dict)


@pytest.mark.parametrize("key", [1, None, True, 1.5, ("a",), b"a"])
def test_keys_must_be_strings(key: Any) -> None:
    """A key that is no string is refused: `"1"` for 1 would be a silent change."""
    with pytest.raises(TypeError, match="keys are strings"):
        encode({"a": {key: 1}})


def test_lone_surrogates_are_escaped() -> None:
    """UTF-8 has no bytes for them, JSON has an escape."""
    assert encode({"\ud800": "x\udc00"}) == rb'{"\ud800":"x\udc00"}'


def test_deeply_nested_values() -> None:
    """What can be read can be written: orjson alone writes 254 levels."""
    arrays: Any = 1
    objects: Any = {}
    for _ in range(511):
        arrays, objects = [arrays], {"a": objects}
    assert encode([arrays]) == b"[" * 512 + b"1" + b"]" * 512
    assert encode(objects) == b'{"a":' * 511 + b"{}" + b"}" * 511


@pytest.mark.parametrize("core", [[], {}, (), [1]])
@pytest.mark.parametrize("levels", [0, 1, 3])
def test_what_stands_deeper_than_a_record_may_is_refused(core: Any, levels: int) -> None:
    """An empty array is a level, too, and so is all that it will stand in."""
    value = core
    for _ in range(511 - levels):
        value = [value]
    encode(value, levels)
    with pytest.raises(ValueError, match="deeper than 512 levels"):
        encode([value], levels)


@dataclasses.dataclass
class Point:
    x: float


def test_dataclasses_are_objects() -> None:
    """A dataclass is written as its fields."""
    assert encode({"p": Point(1.5), "q": None}) == b'{"p":{"x":1.5},"q":null}'


def test_what_contains_itself_is_refused() -> None:
    inside: dict[str, Any] = {}
    inside["again"] = [inside]
    with pytest.raises(ValueError, match="deeper than 512 levels, or inside itself"):
        encode(inside)


@pytest.mark.parametrize("depth", [250, 450])
def test_long_names_are_not_written_for_each_value_in_them(depth: int) -> None:
    """An attacker chooses them: where a value stands is put together when it is no JSON."""
    value: Any = None
    for _ in range(depth):
        value = {"k" * 4000: value}
    tracemalloc.start()
    written = encode(value)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert json.loads(written) == value
    assert peak_bytes < 6 * len(written)
