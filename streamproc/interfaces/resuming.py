"""Ends that a run can go on at. What a position is, is known to the end alone.

A checkpoint keeps positions as JSON and gives them back as `position_type`, a struct. When a run
goes on, all ends are asked whether theirs fit before any is rewound.
"""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from streamproc.interfaces.stream import Sink, Source
from streamproc.record import Cursor
from streamproc.types import Position


class Misfit(Struct, frozen=True):
    """Why an end cannot go on at a position.

    `has_earlier`: at an earlier one it may, for what came later is lost, or can be done again.
    """

    why: str
    has_earlier: bool = False


class ResumableSource(Source, Protocol):
    """A source that a run can go on at. It has to give the same lines in the same order again."""

    @property
    def position_type(self) -> type[Struct]:
        """What its positions are."""

    async def position(self, cursor: Cursor | None) -> Position:
        """That of the line at which `cursor` stands, None for where reading began.

        Cursors never go back, and count lines: `line` is that of the first one in the source plus
        the lines that it gave before.
        """

    async def fits(self, position: Position, later: Position | None = None) -> Misfit | None:
        """Why the run cannot go on there, None if it can. Asked when it is open.

        `later` is another position of the same checkpoint, at which it could not.
        """

    async def rewind(self, position: Position) -> None:
        """Go on there. To do so twice is to do it once. Raises `ResumeError`, `InputError`."""


class ResumableSink(Sink, Protocol):
    """A sink that a run can go on at. Its `place` says where it stands after each write."""

    @property
    def position_type(self) -> type[Struct]:
        """What its positions are."""

    async def position(self, place: Position, *, durable: bool) -> Position:
        """That of a `place` where it stood, while writing goes on. Raises `OutputError`.

        `durable`: what is before it is on the disk when this returns.
        """

    async def fits(self, position: Position, later: Position | None = None) -> Misfit | None:
        """As of a source; asked before it is open, and nothing is touched."""

    async def added(self, position: Position | None) -> int:
        """How much is there that came after; None: at all. Asked before it is open."""

    async def rewind(self, position: Position | None) -> None:
        """Take off what came after it; None: go on behind what is there, whatever it is.

        Before it is open. To do so twice is to do it once. Raises `OutputError`.
        """
