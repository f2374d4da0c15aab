"""The monitor's table in the pipeline file."""

from __future__ import annotations

import re
from typing import ClassVar, cast

from streamproc.interfaces import Recipe
from streamproc.units import Address

_PRINTABLE = r"[\x21-\x7e]+"


class MonitorSettings(Recipe, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `--monitor` says: where it listens, and the `token` that it wants, if there is one.

    A port of 0 is one that is free, and is told.
    """

    shorthand: ClassVar[str] = "address"

    address: Address = cast("Address", "127.0.0.1:9464")
    token: str | None = None

    def __post_init__(self) -> None:
        if self.token is not None and not re.fullmatch(_PRINTABLE, self.token):
            raise ValueError("token: expected characters of ASCII, at least one, and no spaces")

    @property
    def place(self) -> Address:
        """The address, parsed."""
        return Address.parse(self.address)
