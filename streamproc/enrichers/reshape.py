"""`select` and `filter`: reshaping without Python, in JMESPath."""

from __future__ import annotations

from typing import Any, Literal

from streamproc.attendance import Watch
from streamproc.enrichers.conditions import condition, expression, paths_in
from streamproc.entering import Entered
from streamproc.record import Selected


class _Inline(Entered):
    mode: Literal["inline"] = "inline"


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

    def call(self, fields: dict[str, Any]) -> Any:
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

    def call(self, fields: dict[str, Any]) -> Any:
        """See `interfaces.Enricher`."""
        if self._watch.absent:
            self._watch.look(fields)
        return Selected({}, (), {}) if self._is_wanted(fields) else None
