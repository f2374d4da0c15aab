"""How many calls begin while nobody knows whether the target is down.

From a failure to the next good answer no more than `most` of those that began after it are in
flight: as many as a circuit needs to open. They tell, and it costs nothing while others are
answered. Calls that failed before come back one by one, and are not counted.
"""

from __future__ import annotations

from streamproc.interfaces import Standing


class Doubt:
    """Whether one target is in doubt (`exists`). Calls of an earlier doubt count for nothing."""

    __slots__ = ("_in_flight", "_most", "_number", "exists")

    def __init__(self, most: int) -> None:
        self._most = most
        self._number = 0
        self._in_flight = 0
        self.exists = False

    def failed(self) -> None:
        """A call failed: from now on there is a doubt."""
        if not self.exists:
            self.exists = True
            self._number += 1
            self._in_flight = 0

    def began(self, standing: Standing) -> None:
        """A call begins."""
        if not standing.failures:
            standing.doubt = self._number
            self._in_flight += 1

    def ended(self, standing: Standing) -> None:
        """A call that began in a doubt has ended, and makes room, whatever came of it."""
        if standing.doubt and standing.doubt == self._number:
            self._in_flight -= 1
        standing.doubt = 0

    def admits(self, standing: Standing) -> bool:
        """Whether one more call may begin: always, where there is no doubt."""
        return not self.exists or standing.failures > 0 or self._in_flight < self._most
