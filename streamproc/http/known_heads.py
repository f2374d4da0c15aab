"""Heads of answers that were parsed before: what comes whole behind the same bytes is not parsed.

Most answers of a service differ in their bodies only, until the clock in their heads moves on.
What the parser made of a head it would make of the same bytes again, so there are no two opinions
on what a head means: nothing is known that it has not said.
"""

from __future__ import annotations

from typing import NamedTuple

from streamproc.http.head import Head

END = b"\r\n\r\n"  # of a head; one that ends otherwise is nobody's that is known

_MOST = 1024
_MOST_BYTES = 1 << 10  # of one head
_FEW = 2  # uses of one: where heads are not even used so often, none is learnt any more


class KnownHead(NamedTuple):
    """What the parser said: a good answer ends `body_bytes` after it, and others may follow."""

    status: int
    head: Head
    body_bytes: int


class KnownHeads(dict[bytes, KnownHead]):
    """Those of one client, by their bytes with their `END`. Whoever uses one counts `hits`."""

    def __init__(self) -> None:
        super().__init__()
        self.hits = 0
        self._is_useless = False

    def learn(self, status: int, answer: bytes, body_bytes: int) -> None:
        """`answer` is one that was parsed, whole; its body has that length.

        A body in chunks has more than its head before it, and so has an answer after an interim
        one; neither is learnt.
        """
        end = len(answer) - body_bytes
        if self._is_useless or end > _MOST_BYTES or answer.find(END) + len(END) != end:
            return
        head = Head(answer[:end])
        if head.may_have(b"content-encoding"):
            return
        if len(self) >= _MOST:
            self._is_useless = self.hits < _FEW * len(self)
            self.hits = 0
            self.clear()
        if not self._is_useless:
            self[head.data] = KnownHead(status, head, body_bytes)
