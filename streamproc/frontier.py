"""How far the input is done: every line before a place in it, and some lines after it."""

from __future__ import annotations

from collections import deque

from streamproc.record import BLANK, Batch, Cursor, Progress


class Frontier:
    """Batches in the order of the input, forgotten as soon as they and all before are written.

    The frontier stands at the beginning of the first batch with an unwritten line: within
    a batch lines are named by number, so that nobody has to know the offset of each.
    """

    def __init__(self, progress: Progress) -> None:
        self._lines = progress.lines
        self._blank = progress.blank
        # of an earlier run: done, whether they have come by again or not
        self._before = [(self._lines + start, self._lines + stop) for start, stop in progress.done]
        self._batches: deque[Batch] = deque()
        self._written: dict[int, list[list[int]]] = {}  # spans of batches that are not whole
        self._end: Cursor | None = None
        self.batches = 0  # written ones

    def admit(self, batch: Batch) -> None:
        """The next batch of the input."""
        self._batches.append(batch)

    def written(self, batch: Batch, start: int, stop: int) -> None:
        """The lines `start` to `stop` of `batch` are written and flushed."""
        if stop - start < len(batch):
            spans = self._written.setdefault(id(batch), [])
            if spans and spans[-1][1] == start:
                spans[-1][1] = stop
            else:
                spans.append([start, stop])
        while self._batches and self._batches[0].written == len(self._batches[0]):
            self._forget(self._batches.popleft())

    def _forget(self, batch: Batch) -> None:
        self._written.pop(id(batch), None)
        file, line, offset, part = batch.cursor
        self._end = Cursor(file, line + len(batch), offset + batch.n_bytes, part)
        self._lines += len(batch)
        self._blank += sum(note.status == BLANK for note in batch.notes.values())
        self.batches += 1

    @property
    def is_open(self) -> bool:
        """Whether lines were admitted that are not written."""
        return bool(self._batches)

    @property
    def cursor(self) -> Cursor | None:
        """Where it stands, None before the first batch."""
        return self._batches[0].cursor if self._batches else self._end

    @property
    def contiguous(self) -> int:
        """Lines from the beginning of the input on that are written, without a gap."""
        spans = self._spans(self._batches[0]) if self._batches else []
        return self._lines + (spans[0][1] if spans and spans[0][0] == 0 else 0)

    def progress(self) -> Progress:
        """Lines before the frontier, and which of those after it are done, too."""
        self._before = [(start, stop) for start, stop in self._before if stop > self._lines]
        spans = [[max(0, start - self._lines), stop - self._lines] for start, stop in self._before]
        first = 0
        for batch in self._batches:
            if batch.written == len(batch):
                spans.append([first, first + len(batch)])
            else:
                spans += [[first + start, first + stop] for start, stop in self._spans(batch)]
            first += len(batch)
        done = tuple((start, stop) for start, stop in _merged(spans))
        return Progress(self._lines, self._blank, done)

    def _spans(self, batch: Batch) -> list[list[int]]:
        spans = self._written.get(id(batch), [])
        spans[:] = _merged(spans)
        return spans


def _merged(spans: list[list[int]]) -> list[list[int]]:
    merged: list[list[int]] = []
    for start, stop in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], stop)
        else:
            merged.append([start, stop])
    return merged
