"""Dead letters of an aborted run: what is left when the writer has ended."""

from __future__ import annotations

import asyncio

from streamproc.errors import OutputError, StreamprocError
from streamproc.interfaces import Sink

_TIMEOUT_S = 2.0  # what an abort grants to a file or topic that does not answer


class DeadLetterWriter:
    """Writes letters as long as somebody takes them."""

    def __init__(self, sink: Sink | None, errors: list[BaseException]) -> None:
        """`errors`: those of the run, to which the first refusal is added."""
        self._sink = sink
        self._errors = errors
        self._is_over = False

    async def take(self, letter: bytes) -> bool:
        """Whether it is written."""
        sink = self._sink
        assert sink is not None
        if self._is_over or any(getattr(each, "name", None) == sink.name for each in self._errors):
            return False
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                await sink.write(letter + b"\n")
        except TimeoutError:
            self._end(OutputError(sink.name, f"no answer in {_TIMEOUT_S:g} s"))
        except StreamprocError as error:
            self._end(error)
        return not self._is_over

    def _end(self, error: StreamprocError) -> None:
        self._is_over = True
        if str(error) not in map(str, self._errors):  # the writer may have met it, too
            self._errors.append(error)
