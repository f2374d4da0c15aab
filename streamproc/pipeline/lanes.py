"""Lanes that go elsewhere while the run goes on."""

from __future__ import annotations

from collections.abc import Sequence

from streamproc.counters import RunCounters
from streamproc.pipeline.channel import Channel
from streamproc.pipeline.credits import CreditLimit
from streamproc.pipeline.producer import Producer
from streamproc.pipeline.reorder import ReorderBuffer
from streamproc.pipeline.writer import Writer
from streamproc.record import WHITESPACE, Batch


class Lanes:
    """Gives lanes away in two steps: `recall` begins no more work on them, `drop` forgets them."""

    def __init__(
        self,
        producer: Producer,
        channel: Channel,
        reorder: ReorderBuffer,
        writer: Writer,
        window: CreditLimit,
        tally: RunCounters,
    ) -> None:
        self._producer = producer
        self._channel = channel
        self._reorder = reorder
        self._writer = writer
        self._window = window
        self._tally = tally
        self._is_closed = False
        self.recalled: set[int] = set()  # nobody finishes what is left of these

    def recall(self, lanes: Sequence[int]) -> dict[int, int]:
        """Begin no more work on these. Returns by lane how many lines will not be done.

        They are still in the window, until `drop`.
        """
        self.recalled.update(lanes)
        self._drop_rest(lanes)
        recalled = self._reorder.recall(lanes)
        lane, lines = self._channel.recall(lanes)
        if lines:
            recalled[lane] += lines
        return recalled

    def drop(self, lanes: Sequence[int]) -> None:
        """These are somebody else's from here on: he does what is not written of them."""
        if self._is_closed:
            return
        self.recalled.difference_update(lanes)
        self._drop_rest(lanes)
        dropped = [*self._writer.drop(lanes), *self._reorder.drop(lanes)]
        for batch in {id(batch): batch for batch in dropped}.values():
            self._give_away(batch, batch.written)
            self._window.memory.written(sum(batch.leaving.values()))
            self._window.memory.refund(sum(batch.large.values()))
            self._window.release(len(batch) - batch.written, batch.n_bytes, batch.lane)

    def close(self) -> None:
        """The run has accounted for all that it read."""
        self._is_closed = True

    def _drop_rest(self, lanes: Sequence[int]) -> None:
        for batch in self._producer.drop(lanes):
            self._give_away(batch, 0)

    def _give_away(self, batch: Batch, start: int) -> None:
        lines = batch.lines[start:]
        passed = sum(batch.passed[start:])
        blank = sum(not line.strip(WHITESPACE) for line in lines) - passed  # these are blank, too
        self._tally.unselected += passed
        self._tally.blank += blank
        self._tally.unprocessed += len(lines) - blank - passed
