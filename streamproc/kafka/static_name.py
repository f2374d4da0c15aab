"""The name of a static member (`group.instance.id`), and whether it is still ours.

Whoever asks last to be let in under a name has it; who had it before is told FENCED_INSTANCE_ID.
That need not be another process. Brokers that were silent for longer than a session read all at
once what we asked meanwhile on each connection that was given up; or a coordinator ends between
our joining and the group's assignment, and the next one knows us by the id that we had before.
Such echoes concern a member id that is new: the next heartbeat would be told. So a member that
was there for some heartbeats has been fenced by a twin; a new one joins once more, to see.
"""

from __future__ import annotations

from streamproc.kafka.exactly_once import Fences

_HEARTBEATS = 2


class StaticName:
    """Told who we are; asked when we are told that it is somebody else."""

    def __init__(self, heartbeat_s: float, look_s: float) -> None:
        """`look_s`: between two looks, at least."""
        self._enough = max(1, round(_HEARTBEATS * heartbeat_s / look_s))
        self._fences = Fences()
        self._member = b""
        self._looks = 0  # counted, not timed: a process that was stopped has heard nothing

    def taken_in(self, member: bytes) -> None:
        """The group has an assignment for this id of ours."""
        if member != self._member:
            self._member, self._looks = member, 0

    def looked(self, member: bytes) -> None:
        """We are called so, and have not been told otherwise."""
        self._looks += member == self._member

    def has_twin(self, member: bytes, now: float) -> bool:
        """The one who was fenced was called so."""
        is_new = member != self._member or self._looks < self._enough
        return not (is_new and self._fences.add(now))
