"""The contracts between the rooms: one verb each."""

from streamproc.interfaces.calls import (
    Call,
    Enricher,
    Flight,
    Fork,
    Gate,
    Inner,
    Layer,
    RecheckError,
    Site,
    Stage,
    Timed,
    Visit,
)
from streamproc.interfaces.corridor import (
    Engine,
    Finished,
    Keeper,
    MessageSink,
    Opens,
    Sink,
    Source,
    Work,
)

__all__ = [
    "Call",
    "Engine",
    "Enricher",
    "Finished",
    "Flight",
    "Fork",
    "Gate",
    "Inner",
    "Keeper",
    "Layer",
    "MessageSink",
    "Opens",
    "RecheckError",
    "Sink",
    "Site",
    "Source",
    "Stage",
    "Timed",
    "Visit",
    "Work",
]
