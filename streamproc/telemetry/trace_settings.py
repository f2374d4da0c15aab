"""The table `[trace]` of the pipeline file."""

from __future__ import annotations

from streamproc.interfaces import Recipe


class TraceSettings(Recipe, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`trace_field`: where records have a `traceparent` of their own, such as `meta.trace`.

    All else is said by the variables of OpenTelemetry (`OTEL_*`).
    """

    trace_field: str | None = None

    def __post_init__(self) -> None:
        if self.trace_field is not None and not all(self.trace_field.split(".")):
            raise ValueError("trace_field: expected the name of a field, or a path such as a.b")
