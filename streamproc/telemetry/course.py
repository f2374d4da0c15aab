"""How a run has gone so far: what is kept of it for who looks later."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from typing import NamedTuple

from streamproc.interfaces import CheckpointSaved, CircuitChanged, Observer, RunState, TargetPaused
from streamproc.telemetry.history import History
from streamproc.telemetry.narrowest import Narrowest

_CHANGES = 200  # that are kept


class Change(NamedTuple):
    """A change of state: the how manieth, and when by the clock."""

    number: int
    at_s: float
    event: CircuitChanged | TargetPaused | RunState


class Course(Observer):
    """Written in the loop of the run, and read in other threads as well."""

    def __init__(self) -> None:
        self.began_s = time.time()
        self.history = History()
        self.narrowest = Narrowest()
        # by part, stage and reason
        self.held_s: defaultdict[tuple[str, str, str], float] = defaultdict(float)
        self._changes: deque[Change] = deque(maxlen=_CHANGES)
        self._changed = 0

    def state_changed(self, event: CircuitChanged | TargetPaused | RunState) -> None:
        """See `Observer`. Checkpoints are no news."""
        if isinstance(event, CheckpointSaved):
            return
        self._changed += 1
        self._changes.append(Change(self._changed, time.time(), event))

    def judged(self, narrowest: Narrowest, seconds: float) -> None:
        """That held it back in the last `seconds`."""
        self.narrowest = narrowest
        reason = "" if narrowest.wait is None else narrowest.wait.reason
        self.held_s[narrowest.part, narrowest.stage, reason] += seconds

    def changes(self, after: int = 0) -> list[Change]:
        """Those that are kept, without the first `after`."""
        return [each for each in self._changes.copy() if each.number > after]
