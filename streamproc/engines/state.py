"""What the task of a slot is doing.

    IDLE ◀──▶ RUNNING ◀─── the turn comes, or is cut short ─── RESTING, WAITING, GATHERING, JOINED
               │  ▲  └──── pause, wait, gather, wait_for_call ────▶
         begin │  │ end, end_failed
               ▼  │
             CALLING ◀──▶ HELD   memory is short
                  │            its time is over (the sweeper), also in any state of waiting
                  └─────────────▶ ENDING ──▶ RUNNING   the task has heard of it
                                    └──────▶ ABANDONED still there after 2 s: the record is
                                             failed, and the task left to itself

What a slot does apart from that (its place, its limits) is in `engines.slot`.
"""

from __future__ import annotations

from enum import Enum


class CallState(Enum):
    """What the task of a slot is doing; see the drawing."""

    IDLE = "no record"
    RUNNING = "between calls"
    CALLING = "in a call"
    ENDING = "its time is over"
    HELD = "in a call, or about to decode: memory is short"
    RESTING = "for a moment"
    WAITING = "for its turn"
    GATHERING = "for a list to be sent"
    JOINED = "for calls that are made beside it"
    ABANDONED = "given up"


IDLE, RUNNING, CALLING, ENDING = (
    CallState.IDLE,
    CallState.RUNNING,
    CallState.CALLING,
    CallState.ENDING,
)
HELD, RESTING = CallState.HELD, CallState.RESTING
WAITING, GATHERING, JOINED = CallState.WAITING, CallState.GATHERING, CallState.JOINED
ABANDONED = CallState.ABANDONED
