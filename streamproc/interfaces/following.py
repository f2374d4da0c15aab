"""Who hears of single records, as a trace does: of those that it chooses, while they are worked on.

Nobody else hears of one. A record is followed where its calls are made, in a worker process as
well, and through all tasks that work for it.
"""

from __future__ import annotations

from collections.abc import Container
from contextvars import ContextVar
from typing import Protocol

from msgspec import Struct

from streamproc.record import Batch, Note


class Follower(Protocol):
    """Hears of one record. Methods return at once, as those of an `Observer` do."""

    @property
    def headers(self) -> bytes:
        """What a request says of the call that the present task makes: whole lines with CRLF."""

    def begin(self) -> None:
        """Work on it begins."""

    def tell(self, event: Struct) -> None:
        """What observers hear of calls, of its own ones; told in the task that makes the call."""

    def end(self, note: Note | None) -> None:
        """It is done. None: it is one good line. What a call that goes on tells comes later."""


class Follow(Protocol):
    """Whoever follows records of a run."""

    def choose(self, batch: Batch) -> Container[int]:
        """The lines of a batch of which `follow` is asked when work on them begins."""

    def follow(self, batch: Batch, i: int) -> Follower | None:
        """Whoever follows line i; None: nobody, after all."""


FOLLOWED: ContextVar[Follower | None] = ContextVar("followed", default=None)
"""Who follows the record that the present task works for."""


class AnswerKept(Struct, frozen=True):
    """No call is made: a stage had the answer already, or `is_awaited`, for the call of another
    record brings it. Only followers hear of it.
    """

    stage: str
    is_awaited: bool = False


class SourceFailed(Struct, frozen=True):
    """One of several sources has no answer for the record. Only followers hear of it."""

    stage: str
    kind: str


class StageEnded(Struct, frozen=True):
    """A stage with policies has an answer for the record, or none, after so many `seconds`, waits
    included. Only followers hear of it.
    """

    stage: str
    seconds: float
