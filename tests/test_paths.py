"""A place in a record: `a.b`, the same in templates, in `into` and in `trace_field`."""

from typing import Any

import pytest

from streamproc.paths import path_of, value_of

RECORD: dict[str, Any] = {"a": {"b": [{"c": 1}, None], "": 2}, "a.b": 3, "0": 4}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a.b.0.c", 1), ("0", 4), ("a.b", [{"c": 1}, None]),
        ("a.c", None), ("a.b.1.c", None), ("a.b.2", None), ("a.b.-1", None), ("a.b.c", None),
        ("0.0", None),
    ],
)  # fmt: skip
def test_what_is_there_is_found_and_what_is_not_is_none(text: str, value: object) -> None:
    """A name steps into an object, a number into a list, and nothing into a text or a number."""
    assert value_of(RECORD, path_of(text)) == value


def test_no_names_are_the_whole_record() -> None:
    assert value_of(RECORD, ()) is RECORD


@pytest.mark.parametrize("text", ["", ".", "a.", ".a", "a..b"])
def test_an_empty_name_is_no_name(text: str) -> None:
    with pytest.raises(ValueError, match=r"a path such as a\.b"):
        path_of(text)
