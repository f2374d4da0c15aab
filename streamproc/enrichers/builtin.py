"""`builtin = "leads"`, `builtin = "none"`: what needs nobody's code and calls nobody."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import ClassVar, Literal, get_args

from streamproc.interfaces import Enricher, StageKind, StageScope
from streamproc.types import JsonValue

BuiltinName = Literal["leads", "none"]
_CODE = "[A-Z]{2}"
BUILTINS: tuple[str, ...] = get_args(BuiltinName)


class Builtin(StageKind, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`leads` may assume a `country`; `none` passes records on."""

    shorthand: ClassVar[str] = "called"
    beside: ClassVar[tuple[str, ...]] = ("country",)
    what: ClassVar[str] = "a builtin stage"
    takes_policies: ClassVar[bool] = False
    has_prefix: ClassVar[bool] = False

    called: BuiltinName
    country: str | None = None

    @classmethod
    def contradictions(cls, stage: Mapping[str, object]) -> Iterable[str]:
        """See `Recipe`."""
        if "country" in stage and stage.get("builtin") != "leads":
            yield "country: only the builtin leads has a country"
        elif isinstance(country := stage.get("country"), str) and re.fullmatch(_CODE, country):
            from streamproc.enrichers.lead_phones import is_region

            if not is_region(country):
                yield f"country: no phone numbers of {country!r} are known: expected one such as GB"

    @classmethod
    def default_name(cls, key: str, value: JsonValue) -> str:
        """See `StageKind`."""
        return str(value)

    @classmethod
    def default_into(cls, value: JsonValue) -> str:
        """See `StageKind`: facts of their own do not go among the fields of the record."""
        return "enrichment" if value == "leads" else "."

    @property
    def does_nothing(self) -> bool:
        """See `StageKind`."""
        return self.called == "none"

    @property
    def is_users(self) -> bool:
        """See `StageKind`."""
        return False

    def enricher(self, scope: StageScope) -> Enricher:
        """See `StageKind`."""
        return self.leads()

    def leads(self) -> Enricher:
        """What finds the facts."""
        from streamproc.enrichers.leads import LeadsEnricher

        return LeadsEnricher() if self.country is None else LeadsEnricher(self.country)
