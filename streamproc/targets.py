"""What is kept per target, bounded where records name the targets."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Protocol, TypeVar
from weakref import WeakValueDictionary

MAX_TARGETS = 1024


class Retires(Protocol):
    """State of one target."""

    def retire(self) -> bool:
        """Whether it remembers nothing that a fresh one would not know; it may be used again."""


K = TypeVar("K", bound=Hashable)
V = TypeVar("V", bound=Retires)


class Targets(dict[K, V]):
    """The states, each made when it is asked for first: `targets[name]`.

    Only a new one costs a look at the others: beyond `most` those go that retire. A call in
    flight holds on to its state, and whoever asks for it finds the same one again.
    """

    def __init__(self, make: Callable[[K], V], most: int = MAX_TARGETS) -> None:
        super().__init__()
        self._make = make
        self._most = self._full = most
        self._alive: WeakValueDictionary[K, V] = WeakValueDictionary()

    def __missing__(self, key: K) -> V:
        state = self._alive.get(key)
        if state is None:
            state = self._alive[key] = self._make(key)
        if len(self) >= self._full:
            self._sweep()
        self[key] = state
        return state

    def alive(self) -> list[V]:
        """All that are in use, those too that went."""
        return list(self._alive.values())

    def _sweep(self) -> None:
        for key in [key for key, state in self.items() if state.retire()]:
            del self[key]
        self._full = max(self._most, 2 * len(self))  # else each new one would look at all others
