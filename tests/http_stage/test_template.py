"""Text with fields in it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.config.origins import expand
from streamproc.errors import RecordError
from streamproc.http.template import MissingFieldError, Template

pytestmark = pytest.mark.forked
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


def filled(written: str, **variables: str) -> Any:
    """A value of the pipeline file after `${VAR}`."""
    problems: list[str] = []
    value = expand(written, variables, "there", problems)
    assert problems == []
    return value


@pytest.mark.parametrize(
    ("written", "text"),
    [("", ""), ("a", "a"), ("{n}", "1"), ("a{n}b{ n }c", "a1b1c"), ("{a.b}", "deep"),
     ("{l.0}{l.1}", "xy"), ("{{n}}", "{n}"), ("{{{n}}}", "{1}"), ("}}{{", "}{"), ("$", "$"),
     ("${n", None), ("$n", "$n"), ("{a.b.c}", None), ("{l.2}", None), ("{l.-1}", None)],
)  # fmt: skip
def test_fill(written: str, text: str | None) -> None:
    fields = {"n": 1, "a": {"b": "deep"}, "l": ["x", "y"]}
    if text is None:
        with pytest.raises((ValueError, MissingFieldError)):
            Template.parse(written).fill(fields)
    else:
        assert Template.parse(written).fill(fields) == text


@pytest.mark.parametrize("written", ["{", "}", "{}", "{a", "a}", "{a.}", "{.a}", "{a..b}", "{ }"])
def test_what_is_no_template(written: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        Template.parse(written)


@pytest.mark.parametrize("value", [None, "", {}])
def test_missing(value: Any) -> None:
    with pytest.raises(RecordError) as caught:
        Template.parse("{a.b}").fill({"a": {"b": value}})
    assert caught.value.kind == "missing_field"
    assert isinstance(caught.value, MissingFieldError) == (value != {})
    with pytest.raises(MissingFieldError, match=r"a\.b"):
        Template.parse("{a.b}").fill({})


@given(TEXT, TEXT)
def test_values_are_not_looked_at(before: str, value: str) -> None:
    """What a record holds is no template."""
    escaped = before.replace("{", "{{").replace("}", "}}")
    if "${" not in escaped + "{v}":
        assert Template.parse(escaped + "{v}").fill({"v": value}) == before + value


@given(TEXT, TEXT)
def test_variables_are_not_looked_at(secret: str, value: str) -> None:
    template = Template.parse(filled("{v}${KEY}{v}", KEY=secret))
    assert template.fill({"v": value}) == value + secret + value
    assert repr(template) == template.written == "{v}${KEY}{v}"


def test_two_variables_that_make_a_third() -> None:
    assert Template.parse(filled("${A}${B}", A="${", B="A}")).fill({}) == "${A}"


@given(st.integers() | st.integers(2).map(lambda n: 7**n if n < 9000 else n) | st.booleans())
def test_numbers_are_written_as_in_json(number: Any) -> None:
    if isinstance(number, bool) or abs(number) < 10**4000:
        assert Template.parse("{n}").fill({"n": number}) == json.dumps(number)


def test_an_integer_that_python_would_not_write() -> None:
    text = Template.parse("{n}").fill({"n": 10**5000 + 7})
    assert text == "1" + "0" * 4999 + "7"


def test_an_integer_has_a_limit() -> None:
    """Writing one takes time that grows with the square of its digits."""
    assert len(Template.parse("{n}").fill({"n": 10**49_990})) == 49_991
    for number in (10**50_001, -(10**50_001), 1 << 2_000_000):
        with pytest.raises(RecordError, match="50000 digits") as caught:
            Template.parse("x{n}").fill({"n": number})
        assert caught.value.kind == "bad_number"


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_keep_their_value(number: float) -> None:
    assert float(Template.parse("{n}").fill({"n": number})) == number
