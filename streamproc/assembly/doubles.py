"""Who is called in a trial instead of those whom a pipeline names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from streamproc.types import Function

if TYPE_CHECKING:
    from streamproc.http.contract import Client


class Doubles(Protocol):
    """Test doubles, by the name of the stage; a fallback has that of its stage."""

    def client(self, stage: str) -> Client:
        """What sends the requests of an http stage."""

    def function(self, stage: str, own: object) -> Function | None:
        """What is called instead of `own`, a Python stage's code; None for that itself."""
