"""Where answers are kept: in memory, or in a file (`policies.sqlite_store`)."""

from __future__ import annotations

from collections import OrderedDict
from hashlib import sha256
from typing import Protocol

OVERHEAD_BYTES = 200  # of an entry, besides its key and value
_SHORT_BYTES = 256  # of what was asked, which never leaves this process: to hash it costs more


Kept = tuple[bytes, float]
"""An answer as JSON bytes (b"" for nothing), and until when it is good (epoch s).

A plain tuple: the garbage collector does not look at it again and again.
"""


class Store(Protocol):
    """Keys are what `key` makes of that of a call. Nothing here waits long."""

    def open(self) -> None:
        """Raises `CreateError`."""

    def close(self) -> None:
        """Needed no more."""

    def key(self, asked: bytes) -> bytes:
        """What answers to a call with that key are kept under, short. Only once it is open."""

    def get(self, key: bytes) -> Kept | None:
        """What is kept, also when it is no longer good."""

    def put(self, key: bytes, kept: Kept) -> None:
        """Keep it, if that can be: an answer is not lost when it cannot."""


class MemoryStore:
    """Least recently used entries go first."""

    def __init__(self, max_entries: int, max_bytes: int) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._entries: OrderedDict[bytes, Kept] = OrderedDict()
        self._bytes = 0

    def open(self) -> None:
        """Nothing to open."""

    def key(self, asked: bytes) -> bytes:
        """See `Store`."""
        return asked if len(asked) <= _SHORT_BYTES else sha256(asked).digest()

    def close(self) -> None:
        """Forget all."""
        self._entries.clear()
        self._bytes = 0

    def get(self, key: bytes) -> Kept | None:
        """See `Store`."""
        kept = self._entries.get(key)
        if kept is not None:
            self._entries.move_to_end(key)
        return kept

    def put(self, key: bytes, kept: Kept) -> None:
        """See `Store`."""
        entries = self._entries
        size = _size(key, kept)
        if size > self._max_bytes:
            return
        if key in entries:
            self._bytes -= _size(key, entries.pop(key))
        entries[key] = kept
        self._bytes += size
        while self._bytes > self._max_bytes or len(entries) > self._max_entries:
            self._bytes -= _size(*entries.popitem(last=False))


def _size(key: bytes, kept: Kept) -> int:
    return len(key) + len(kept[0]) + OVERHEAD_BYTES
