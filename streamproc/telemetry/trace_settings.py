"""The table `[trace]` of the pipeline file."""

from __future__ import annotations

from streamproc.interfaces import Recipe
from streamproc.paths import path_of


class TraceSettings(Recipe, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`trace_field`: where records have a `traceparent` of their own, such as `meta.trace`.

    All else is said by the variables of OpenTelemetry (`OTEL_*`).
    """

    trace_field: str | None = None

    def __post_init__(self) -> None:
        if self.trace_field is not None:
            try:
                path_of(self.trace_field)
            except ValueError:
                text = "trace_field: expected the name of a field, or a path such as a.b"
                raise ValueError(text) from None
