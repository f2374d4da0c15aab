"""`reverse = "name"`: a text of the record, from its end to its beginning."""

from collections.abc import Callable
from typing import Any, ClassVar

from streamproc.interfaces import StageKind


class Reverse(StageKind, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The text in `field` backwards, as the member `into`; nothing for records without one."""

    shorthand: ClassVar[str] = "field"

    field: str
    into: str = "reversed"

    def opened(self, name: str) -> Callable[[dict[str, Any]], Any]:
        """See `StageKind`."""

        def reverse(record: dict[str, Any]) -> dict[str, str] | None:
            text = record.get(self.field)
            return {self.into: text[::-1]} if isinstance(text, str) else None

        return reverse
