"""Source → channel: reads as far as the window allows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from streamproc.interfaces import Source
from streamproc.pipeline.channel import Channel
from streamproc.pipeline.reorder import Reorder
from streamproc.pipeline.window import Window
from streamproc.record import Batch, Failed, Note, Tally

Refuse = Callable[[Failed, Batch, int], Note]


class Producer:
    """Reads batches and admits them. `refuse` turns a line that failed at birth into a note."""

    def __init__(
        self,
        source: Source,
        window: Window,
        channel: Channel,
        reorder: Reorder,
        tally: Tally,
        refuse: Refuse,
    ) -> None:
        self._source = source
        self._window = window
        self._channel = channel
        self._reorder = reorder
        self._tally = tally
        self._refuse = refuse
        self._stopping = False
        self._receiving: asyncio.Task[None] | None = None
        self._rest: Batch | None = None  # received and not admitted yet

    async def run(self) -> None:
        """Until the end of input, or `stop`. Raises `InputError`."""
        try:
            while received := await self._receive():
                batch, failed = received
                self._count(batch)
                if failed is None:
                    await self._admit(batch)
                else:
                    await self._admit_failed(batch, failed)
        finally:
            self._channel.close()

    def stop(self) -> None:
        """Read no more. What was read is still admitted; a blocked read delays nothing."""
        self._stopping = True
        if self._receiving is not None:
            self._receiving.cancel()

    @property
    def has_rest(self) -> bool:
        """Whether lines were received and not admitted yet."""
        return self._rest is not None

    def admit_rest(self) -> None:
        """After an abort: all that was read gets its place, to be accounted for."""
        if self._rest is not None:
            self._place(self._rest)
        while received := self._source.receive_nowait():
            batch, failed = received
            self._count(batch)
            if failed is None:
                self._place(batch)
            else:
                self._place_failed(batch, failed)

    async def _receive(self) -> tuple[Batch, Failed | None] | None:
        if self._stopping:
            return self._source.receive_nowait()
        task = asyncio.current_task()
        self._receiving = task
        try:
            return await self._source.receive()
        except asyncio.CancelledError:
            if not self._stopping or task is None or task.uncancel():
                raise
            return self._source.receive_nowait()
        finally:
            self._receiving = None

    async def _admit(self, batch: Batch) -> None:
        self._rest = batch
        while self._rest is not None:
            room = await self._window.reserve(len(self._rest), self._rest.n_bytes)
            head, self._rest = self._rest.cut(room)
            self._place(head)
            await self._channel.send(head)

    async def _admit_failed(self, batch: Batch, failed: Failed) -> None:
        try:
            await self._window.reserve(1, 0)
        finally:  # after a cancellation too: it is finished already
            self._place_failed(batch, failed)

    def _count(self, batch: Batch) -> None:
        self._tally.lines += len(batch)
        self._tally.bytes_in += batch.n_bytes

    def _place(self, batch: Batch) -> None:
        self._window.admit(len(batch), batch.n_bytes)
        self._reorder.admit(batch)

    def _place_failed(self, batch: Batch, failed: Failed) -> None:
        self._place(batch)
        note = self._refuse(failed, batch, 0)
        self._reorder.finish(batch, 0, note.line, note)
