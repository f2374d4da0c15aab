"""`--update`: what came out becomes what is expected; all else in the file stays as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from streamproc.codec import encode
from streamproc.config.toml import inline
from streamproc.errors import OutputError
from streamproc.trials.cases import Case
from streamproc.trials.running import Result, updated
from streamproc.types import JsonValue


def rewrite(file: str, results: Sequence[tuple[Case, Result]]) -> None:
    """Put the records of `results` where their cases, all of one file, expect them.

    Raises `OutputError`.
    """
    import tomlkit

    before = Path(file).read_bytes().decode()  # with the ends of its lines
    document: Any = tomlkit.parse(before)
    tests = document["test"]
    for case, result in results:
        records = updated(case, result).expected or []
        if isinstance(case.table.expect, str):
            lines = b"".join(encode(record) + b"\n" for record in records)
            _write(case.path_of(case.table.expect), lines)
            continue
        expected = tomlkit.array()
        expected.extend(map(_item, records))
        tests[case.index]["expect"] = expected.multiline(multiline=len(records) > 0)
    if (text := tomlkit.dumps(document)) != before:
        _write(file, text.encode())


def _write(path: str, data: bytes) -> None:
    try:
        Path(path).write_bytes(data)
    except OSError as error:
        raise OutputError(path, error.strerror or str(error)) from error


def _item(record: Mapping[str, object]) -> JsonValue:
    """A table, or where TOML has no such value, as null, the JSON."""
    import tomlkit

    if not _is_toml(record):
        text = encode(record).decode()
        return tomlkit.string(text, literal="'" not in text)
    return inline(record)


def _is_toml(value: object) -> bool:
    if isinstance(value, dict):
        return all(map(_is_toml, value.values()))
    if isinstance(value, list):
        return all(map(_is_toml, value))
    return value is not None and not (isinstance(value, int) and value.bit_length() > 63)
