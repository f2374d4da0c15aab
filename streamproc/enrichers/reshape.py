"""`select` and `filter`: reshaping without Python, in JMESPath."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar, Literal

from streamproc.attendance import Watch
from streamproc.enrichers.conditions import condition, expression, fields_in, paths_in, texts_in
from streamproc.entering import Entered
from streamproc.interfaces import Enricher, StageKind, StageScope
from streamproc.record import Selected
from streamproc.types import CallResult, Record


class _Reshape(StageKind, frozen=True, kw_only=True, forbid_unknown_fields=True):
    shorthand: ClassVar[str] = "text"
    expressions: ClassVar[tuple[str, ...]] = ("text",)
    replaces: ClassVar[bool] = True
    takes_policies: ClassVar[bool] = False

    text: str

    @classmethod
    def contradictions(cls, stage: Mapping[str, object]) -> Iterable[str]:
        """See `Recipe`."""
        if stage.get("into") not in (None, "."):
            yield f"into: {cls.what} replaces the record: leave into out"

    @property
    def is_users(self) -> bool:
        """See `StageKind`."""
        return False

    def watch(self, scope: StageScope) -> Watch:
        """What watches for the fields of its text."""
        return scope.watch(fields_in(self.text), texts_in(self.text))


class Select(_Reshape, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`select = TEXT`: the record becomes what it finds."""

    what: ClassVar[str] = "a select"

    def enricher(self, scope: StageScope) -> Enricher:
        """See `StageKind`."""
        return SelectEnricher(self.text, self.watch(scope))


class Filter(_Reshape, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`filter = TEXT`: the record goes no further if it is not true."""

    what: ClassVar[str] = "a filter"

    def enricher(self, scope: StageScope) -> Enricher:
        """See `StageKind`."""
        return FilterEnricher(self.text, self.watch(scope))


class _Inline(Entered):
    mode: Literal["inline"] = "inline"
    replaces = True


class SelectEnricher(_Inline):
    """The record becomes what `text` finds in it: an object, a list of them, null for none.

    What stands under a plain path (`a.b`), the whole or a member of a new object, is taken
    over as it is, byte for byte; what is computed, or stands in a list, is written anew.
    """

    def __init__(self, text: str, watch: Watch) -> None:
        """Raises `ConfigError`."""
        search = expression("select", text)
        assert search is not None
        self._search = search
        self._watch = watch
        self._path, self._paths = paths_in(text)

    def call(self, fields: Record) -> CallResult:
        """See `interfaces.Enricher`."""
        if self._watch.absent:
            self._watch.look(fields)
        value = self._search(fields)
        if not isinstance(value, dict):
            return value
        return Selected(value, self._path, self._paths)


class FilterEnricher(_Inline):
    """Records for which `text` is not true (JMESPath's sense) go no further."""

    def __init__(self, text: str, watch: Watch) -> None:
        """Raises `ConfigError`."""
        is_wanted = condition("filter", text)
        assert is_wanted is not None
        self._is_wanted = is_wanted
        self._watch = watch

    def call(self, fields: Record) -> CallResult:
        """See `interfaces.Enricher`."""
        if self._watch.absent:
            self._watch.look(fields)
        return Selected({}, (), {}) if self._is_wanted(fields) else None
