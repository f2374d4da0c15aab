"""A record of which something is not known, for a call that would tell it is not made."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from copy import deepcopy
from typing import Any

from streamproc.paths import Path
from streamproc.types import JsonValue, Record

# letters and digits: no URL, no JSON and no form writes it otherwise
_MARK = f"unknown{secrets.token_hex(4)}"


class NotKnownError(Exception):
    """What stands at `path` is not known."""

    def __init__(self, path: Path) -> None:
        super().__init__(".".join(path))


class Known:
    """`fields` are what is known of the record `record_id`, and theirs who made it to change.

    Under the paths that were `concealed` the results of calls would stand; with `is_open` any
    member may be added, too.
    """

    def __init__(self, record_id: str, fields: Record, *, is_open: bool = False) -> None:
        self.record_id = record_id
        self.fields = fields
        self.is_open = is_open
        self._concealed: set[Path] = set()

    @property
    def is_whole(self) -> bool:
        """Whether all of it is known."""
        return not self._concealed and not self.is_open

    def conceal(self, path: Path | None) -> None:
        """The result of a call goes there; None: it is merged at the top."""
        if path is None:
            self.is_open = True
        else:
            self._concealed.add(path)
            _set(self.fields, path, None)

    def put(self, path: Path | None, value: JsonValue) -> None:
        """A result that is known goes there."""
        if path is None:
            self.fields.update(value or {})
            self._concealed -= {(name,) for name in value or {}}
            return
        self._concealed = {each for each in self._concealed if each[: len(path)] != path}
        _set(self.fields, path, value)

    def is_known(self, path: Path) -> bool:
        """Whether the value at `path` is, be it that there is none."""
        if self.is_open and path[0] not in self.fields:
            return False
        return not any(_is_within(path, each) or _is_within(each, path) for each in self._concealed)

    def filled(self, paths: Iterable[Path]) -> Record:
        """The fields, with a mark at those of `paths` that are not known; `named` reads it."""
        unknown = [path for path in paths if not self.is_known(path)]
        if not unknown:
            return self.fields
        fields = deepcopy(self.fields)
        for path in unknown:
            _set(fields, path, mark(path))
        return fields

    def view(self) -> Record:
        """The fields, as JMESPath looks at them: `NotKnownError` at what is not known."""
        return self.fields if self.is_whole else _View(self.fields, (), self)


def is_in_part(value: object) -> bool:
    """Whether something in `value`, which was found in a `view`, is not known."""
    if isinstance(value, dict):
        return isinstance(value, _View) or any(map(is_in_part, value.values()))
    return isinstance(value, list) and any(map(is_in_part, value))


class _View(dict[str, Any]):
    def __init__(self, fields: Record, at: Path, known: Known) -> None:
        super().__init__(fields)
        self._at = at
        self._known = known

    def get(self, name: str, default: object = None) -> JsonValue:
        path = (*self._at, name)
        if self._known.is_known(path):
            return super().get(name, default)
        inner = super().get(name)
        if isinstance(inner, dict):
            return _View(inner, path, self._known)
        raise NotKnownError(path)


def mark(path: Path) -> str:
    """What stands for the unknown value at `path` until a text is `named`."""
    return f"{_MARK}{'.'.join(path).encode().hex()}x"


def named(text: str) -> str:
    """`text` with `{a.b}` in the place of each mark."""
    first, *rest = text.split(_MARK)
    for each in rest:
        code, _, more = each.partition("x")
        first += f"{{{bytes.fromhex(code).decode()}}}{more}"
    return first


def _is_within(path: Path, other: Path) -> bool:
    return path[: len(other)] == other


def _set(fields: Record, path: Path, value: object) -> None:
    *folders, last = path
    for name in folders:
        inner = fields.get(name)
        if not isinstance(inner, dict):
            inner = fields[name] = {}
        fields = inner
    fields[last] = value
