"""JMESPath expressions in settings: conditions and selections."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from streamproc.attendance import Attendance
from streamproc.errors import ConfigError
from streamproc.nearest import closest
from streamproc.paths import Path
from streamproc.types import Foreign, JsonValue, Record

_TOGETHER = (
    "and_expression", "comparator", "function_expression", "multi_select_dict",
    "multi_select_list",
)  # fmt: skip
_NUMBER = r"([\w.]{1,99})\s*(==|!=|<=|>=|<|>)\s*(-?\d{1,30}(?:\.\d{1,30})?)(?![\d`])"


def expression(key: str, text: str | None) -> Callable[[Record], JsonValue] | None:
    """The search that `text` means, None for no text. Raises `ConfigError` that names `key`."""
    if text is None:
        return None
    import jmespath

    try:
        compiled = jmespath.compile(text)
    except jmespath.exceptions.JMESPathError as error:
        said = " ".join(str(error).partition(", for expression")[0].split()).rstrip(".:,")
        raise ConfigError(f"{key}: {text!r} is no JMESPath: {said}{_advice(text)}") from error
    known = jmespath.functions.Functions.FUNCTION_TABLE
    for name in _functions_in(compiled.parsed):
        if name not in known:
            raise ConfigError(f"{key}: {text!r}: there is no function {name}(){_near(name, known)}")
    search: Callable[[Any], Any] = compiled.search
    return search


def _functions_in(tree: Foreign) -> Iterator[str]:
    if tree["type"] == "function_expression":
        yield tree["value"]
    for child in tree["children"]:
        if isinstance(child, dict):
            yield from _functions_in(child)


def _near(name: str, known: Iterable[str]) -> str:
    match = closest(name, known)
    return f", did you mean {match}()?" if match else f"; there are {', '.join(known)}"


def _advice(text: str) -> str:
    """What people write who know other languages, as JMESPath has it."""
    if numbers := re.search(_NUMBER, text):
        written = f"{numbers[1]} {numbers[2]} `{numbers[3]}`"
        return f"; numbers stand in backticks: {written}"
    if re.search(r"(?<![=!<>])=(?!=)", text):
        return "; equal is =="
    if re.search(r"\b(and|or|not)\b", text):
        return "; and, or, not are &&, ||, !"
    return "; see https://jmespath.org/specification.html"


def paths_in(text: str) -> tuple[Path | None, dict[str, Path]]:
    """Where the value of `text` stands, if it is a plain path, and its members that do."""
    import jmespath

    tree = jmespath.compile(text).parsed
    if tree["type"] != "multi_select_dict":
        return _path(tree), {}
    named = {pair["value"]: _path(pair["children"][0]) for pair in tree["children"]}
    return None, {name: path for name, path in named.items() if path is not None}


def _path(tree: Foreign) -> Path | None:
    """The path that `tree` is, None if it is more than a path."""
    if tree["type"] == "current":
        return ()
    if tree["type"] == "field":
        return (tree["value"],)
    if tree["type"] != "subexpression":
        return None
    parts = [_path(child) for child in tree["children"]]
    return None if None in parts else tuple(name for part in parts for name in part or ())


def fields_in(text: str) -> list[Path]:
    """Fields that a record needs for `text` to mean anything, as far as that is certain.

    What is negated, is one of several alternatives or is compared with null may be missing.
    """
    import jmespath

    return [path for path in dict.fromkeys(_needed(jmespath.compile(text).parsed)) if path]


def texts_in(text: str) -> frozenset[str]:
    """Names that may be meant as texts, as other languages have them: in double quotes, apart
    from keys, and words that something is compared with.
    """
    quoted = re.findall(r'"([^"\\]+)"(?!\s*:)', text)
    return frozenset([*quoted, *re.findall(r"[!=]=\s*([A-Za-z_]\w*)(?![\w.(\[])", text)])


def _needed(tree: Foreign) -> Iterator[Path]:
    kind, children = tree["type"], tree["children"]
    if (path := _path(tree)) is not None:
        yield path
    elif _may_lack(tree):
        return
    elif kind in _TOGETHER:
        for child in children:
            yield from _needed(child)
    elif children:  # the others belong to what is found there
        yield from _needed(children[0])


def _may_lack(tree: Foreign) -> bool:
    if tree["type"] == "comparator":
        return any(child.get("value", "") is None for child in tree["children"])
    if tree["type"] == "function_expression":
        return bool(tree["value"] == "not_null")
    return tree["type"] in ("or_expression", "not_expression", "expref")


def condition(key: str, text: str | None) -> Callable[[Record], bool] | None:
    """As `expression`, for what is only asked whether it is true."""
    search = expression(key, text)
    return None if search is None else lambda fields: is_true(search(fields))


def counted(is_wanted: Callable[[Record], bool], records: Attendance) -> Callable[[Record], bool]:
    """`is_wanted`, and `records` knows of it."""
    watch = records.asked_for

    def is_let_in(fields: Record) -> bool:
        if watch.absent:
            watch.look(fields)
        if is_wanted(fields):
            records.wanted += 1
            return True
        records.skipped_when += 1
        return False

    return is_let_in


def is_true(value: object) -> bool:
    """JMESPath's sense: null, false and what is empty are false, 0 is true."""
    if isinstance(value, str | list | dict):
        return bool(value)
    return value is not None and value is not False
