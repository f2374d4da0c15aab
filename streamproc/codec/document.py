"""One record on its way through the stages."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from streamproc.codec import splice
from streamproc.codec.decode import decode, decode_any
from streamproc.codec.encode import encode
from streamproc.codec.raw import RAW, from_members
from streamproc.codec.same import differences
from streamproc.errors import DecodeError
from streamproc.paths import Path
from streamproc.record import WHITESPACE, Selected
from streamproc.types import JsonObject, Record


class Document:
    """A record as bytes and as fields.

    `line` is at every moment the record as it would be written. `fields` is what stages
    see, and theirs to change: only what they return gets into `line`.
    """

    __slots__ = ("added", "fields", "given", "line", "original", "replaced")

    def __init__(self, line: bytes) -> None:
        """Raises `DecodeError` if `line` is no JSON object, and `UnreadableError`."""
        self.fields = decode(line)
        # byte values: the cheap way to see that there is nothing to strip
        if line[-1] != 0x7D or line[0] != 0x7B:
            line = line.strip(WHITESPACE)
        self.line = line
        self.given = self.fields.copy()
        self.added: list[str] | None = []  # None once more than new members was changed
        self.original: bytes | None = None  # of a record that is done again, before it was done
        self.replaced = False  # by what a transform returned

    @classmethod
    def resumed(cls, line: bytes, fields: Record, given: Record) -> Document:
        """A document that somebody else has decoded, `given` before stages saw `fields`."""
        self: Document = object.__new__(cls)
        self.line, self.fields, self.given, self.added = line, fields, given, []
        self.original, self.replaced = None, False
        return self

    @property
    def has_error(self) -> bool:
        """Whether it has a member `_error`: of an earlier run, or somebody else's."""
        return "_error" in self.given

    def had_already(self, returned: Record) -> bool:
        """Whether the `_error` of what a stage returned is the one that the record came with."""
        if "_error" not in self.given:
            return False
        own = {"_error": returned["_error"]}
        return not differences(self.line, self.given, own)

    @property
    def failed_sources(self) -> tuple[str, frozenset[str]] | None:
        """What `replay --failed-only` says of it: a stage, and which of its sources failed."""
        error = self.fields.get("_error")
        if not isinstance(error, dict) or not error.keys() <= {"stage", "sources", "added", *RAW}:
            return None
        stage, sources = error.get("stage"), error.get("sources")
        if not isinstance(stage, str) or not isinstance(sources, dict) or not sources:
            return None
        with suppress(DecodeError):
            from_members(error)
            return stage, frozenset(sources)
        return None

    def begin_again(self) -> None:
        """Take off what `replay --failed-only` said, if it is `failed_sources`."""
        mark: Any = self.fields.pop("_error")
        del self.given["_error"]
        names = mark["added"] if isinstance(mark.get("added"), list) else []
        names = [each for each in names if isinstance(each, str) and each in self.given]
        self.original = from_members(mark)
        self.added = names if self.original is None else None
        if self.original is None:
            self.original = splice.without(self.line, {"_error", *names})
        self.line = splice.without(self.line, {"_error"})

    def put(self, path: Path, value: object) -> None:
        """Set the member at `path` to `value`. Raises TypeError or ValueError: not JSON."""
        name = path[0]
        if len(path) > 1:
            self._graft(path, value)
        elif name in self.given:
            self._rewrite({name: value})
        else:
            self._append({name: value})

    def merge(self, returned: Record) -> None:
        """Add the members that `returned` has and the record has not, or has otherwise.

        Raises TypeError or ValueError: not JSON.
        """
        if self.given.keys().isdisjoint(returned):
            if returned:
                self._append(returned)
            return
        new = differences(self.line, self.given, returned)
        changed = {name: new.pop(name) for name in self.given.keys() & new.keys()}
        if changed:
            self._rewrite(changed)
        if new:
            self._append(new)

    def replace(self, value: Record) -> Document:
        """Another document in the place of this one; what is equal in both keeps its bytes."""
        if type(value) is Selected:
            if value.path == ():
                return self
            line = splice.selected(self.line, value)
        else:
            changed = differences(self.line, self.given, value)
            line = splice.rebuild(self.line, changed, value)
        other = self.resumed(line, value.copy(), value.copy())
        other.added, other.replaced, other.original = None, True, self.original
        return other

    def _append(self, members: JsonObject) -> None:
        self.line = splice.append(self.line, bool(self.given), encode(members))
        self.given.update(members)
        self.fields.update(members)
        if self.added is not None:
            self.added += members

    def _rewrite(self, changed: JsonObject) -> None:
        new = {name: encode(value, 1) for name, value in changed.items()}
        self.line = splice.rewrite(self.line, new)
        self.given.update(changed)
        self.fields.update(changed)
        self.added = None

    def _graft(self, path: tuple[str, ...], value: object) -> None:
        name, *rest = path
        written = encode(value, len(path))
        if name in self.given:
            member = splice.graft_into(splice.values(self.line)[name], rest, written)
            self.line = splice.rewrite(self.line, {name: member})
            self.added = None
        else:
            member = splice.graft_into(None, rest, written)
            new = b"{%b:%b}" % (encode(name), member)
            self.line = splice.append(self.line, bool(self.given), new)
            if self.added is not None:
                self.added.append(name)
        self.given[name] = self.fields[name] = decode_any(member)
