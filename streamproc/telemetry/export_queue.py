"""What is to be sent, and a thread that does it: nobody waits for it, and what it holds is bounded.

A place that cannot be reached costs what fits into the queue, and then nothing: no more is taken
until that has been sent, or given up.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from streamproc.interfaces import ExportFailed

log = logging.getLogger("streamproc")

_END_S = 5.0  # what it gets when the run has ended
_LEAVE_S = 1.0  # and when that is over
T = TypeVar("T")


def say(event: ExportFailed) -> None:
    """In the log."""
    if event.reason:
        log.warning("%s cannot be sent, and the run goes on: %s", event.what, event.reason)
    else:
        log.warning("%s: %d were not sent", event.what, event.lost)


class Exporter(Protocol[T]):
    """Sends. Called in the thread of a queue; `shutdown` in another one."""

    def send(self, items: list[T], on_trouble: Callable[[], None]) -> str | None:
        """Returns when it has succeeded, or why it has not.

        `on_trouble` is called when it failed and is about to try again.
        """

    @property
    def trouble(self) -> str:
        """What is wrong with what is being sent, as far as it is known; nothing if all is well."""

    def shutdown(self) -> None:
        """Give up what is being sent."""


class ExportQueue(Generic[T]):
    """`what` is what items are in messages. `weight`: of an item, of which at most `most` wait.

    The thread sends as soon as `enough` wait, and else every `delay_s`. `tell` hears of what cannot
    be sent, in any thread.
    """

    def __init__(
        self,
        what: str,
        exporter: Exporter[T],
        weight: Callable[[T], int],
        *,
        most: int,
        enough: int,
        delay_s: float,
        tell: Callable[[ExportFailed], object] = say,
    ) -> None:
        self._what = what
        self._tell = tell
        self._exporter = exporter
        self._weight = weight
        self._most, self._enough, self._delay_s = most, min(enough, most), delay_s
        self._items: deque[T] = deque()
        self._held = 0
        self._changed = threading.Condition()
        self._is_closing = False
        self._settled = threading.Event()  # all is sent, or that is not to be expected
        self._dropped = 0
        self._under_way = 0
        self._is_failing = False
        self._is_told = False
        self._thread = threading.Thread(target=self._run, name=f"streamproc {what}", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def has_room(self) -> bool:
        """Whether one more may be put. One that finds no room is dropped, and counted."""
        if self._held < self._most:
            return True
        self._dropped += 1
        return False

    def put(self, item: T) -> None:
        """It is to be sent."""
        with self._changed:
            self._items.append(item)
            self._held += self._weight(item)
            if self._held >= self._enough:
                self._changed.notify()

    def close(self) -> None:
        """Send what is left, and tell what could not be sent. Blocks for a few seconds at most."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
            if self._is_failing:  # why should it answer now
                self._settled.set()
        if not self._settled.wait(_END_S) and (trouble := self._exporter.trouble):
            self._tell_once(trouble)
        self._exporter.shutdown()
        self._thread.join(_LEAVE_S)
        if lost := self._dropped + self._under_way + len(self._items):
            self._tell(ExportFailed(self._what, lost=lost))

    def heard(self, event: ExportFailed) -> None:
        """The same of another process: what it says is said once of all of them."""
        self._dropped += event.lost
        if event.reason:
            self._tell_once(event.reason)

    def _run(self) -> None:
        while items := self._take():
            why = self._sent(items)
            self._is_failing = why is not None
            if why is not None:
                self._dropped += len(items)
                self._tell_once(why)
            self._under_way = 0
        self._settled.set()

    def _sent(self, items: list[T]) -> str | None:
        try:
            return self._exporter.send(items, self._troubled)
        except Exception as error:  # of a library that is not ours: the run goes on
            return f"{type(error).__name__}: {error}"

    def _take(self) -> list[T]:
        """What waits, as much as is sent at once; nothing at the end."""
        with self._changed:
            is_due = lambda: self._is_closing or self._held >= self._enough  # noqa: E731
            while not (self._changed.wait_for(is_due, self._delay_s) or self._items):
                pass
            items, weight = [], 0
            while self._items and weight < self._enough:
                items.append(self._items.popleft())
                weight += self._weight(items[-1])
            self._held -= weight
            self._under_way = len(items)
            return items

    def _troubled(self) -> None:
        self._is_failing = True
        if self._is_closing:
            self._settled.set()

    def _tell_once(self, reason: str) -> None:
        if not self._is_told:
            self._is_told = True
            self._tell(ExportFailed(self._what, reason))
