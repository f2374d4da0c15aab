"""What a stage adds is written the short way where that is the same as the long way."""

from __future__ import annotations

import copy
import io
import json
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from streamproc import Pipeline

NAMES = ["a", "b", "length", "naïve", 'quo"te', "back\\slash", "line\n", *"cdefghij"]

records = st.dictionaries(st.sampled_from(NAMES), st.sampled_from([1, "a", "length", None]))
values = st.sampled_from([0, 1, "},{", [{"a": 1}, {}], {"a": {}}, None])
results = st.one_of(st.none(), st.dictionaries(st.sampled_from([*NAMES, 1]), values, max_size=12))
cases = st.tuples(records, results, st.sampled_from(["leaves", "clears", "changes", "returns"]))


@st.composite
def written(draw: st.DrawFn) -> tuple[list[bytes], list[tuple[Any, str]]]:
    """Lines, most of them alike, and what becomes of each."""
    lines, does = [], []
    for _ in range(draw(st.integers(1, 3))):
        alike, times = draw(st.lists(cases, min_size=1, max_size=4)), draw(st.integers(1, 30))
        for record, result, way in alike * times:
            line = json.dumps({"n": len(lines)} | record, ensure_ascii=False)
            is_spelled_out = draw(st.booleans()) if times < 3 else False
            lines.append((line.replace("a", "\\u0061") if is_spelled_out else line).encode())
            does.append((result, way))
    return lines, does


def outputs(lines: list[bytes], does: list[tuple[Any, str]], **stage: Any) -> bytes:
    def call(record: dict[str, Any]) -> Any:
        result, way = copy.deepcopy(does[record["n"]])
        if way == "clears":
            record.clear()
        elif way != "leaves":
            record.update(result or {})
        return record if way == "returns" else result

    out = io.BytesIO()
    Pipeline([{"python": call, **stage}]).run_sync(lines, out)
    return out.getvalue()


@settings(max_examples=50)
@example(
    ([b'{"n":0,"\\u0061":1}'], [({"a": 2}, "leaves")]), {}
)  # a name that is not found as it is
@given(written(), st.sampled_from([{}, {"into": "length"}, {"into": "new"}]))
def test_the_same_comes_out_the_long_way(
    case: tuple[list[bytes], list[tuple[Any, str]]], stage: dict[str, Any]
) -> None:
    assert outputs(*case, **stage) == outputs(*case, **stage, when="`true`")
