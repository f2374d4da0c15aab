"""streamproc: a streaming JSON Lines processor. What stands in `__all__` is what we promise."""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # `python -m` has the working directory first still: nothing new is imported
if TYPE_CHECKING:
    from typing import Any

    from streamproc.assembly import Pipeline
    from streamproc.enrichers.markers import enricher, transform
    from streamproc.errors import (
        ConfigError,
        InputError,
        OutputError,
        RecordError,
        Retry,
        StreamprocError,
        UnavailableError,
    )
    from streamproc.telemetry.summary import Summary
    from streamproc.version import __version__

__all__ = [
    "ConfigError",
    "InputError",
    "OutputError",
    "Pipeline",
    "RecordError",
    "Retry",
    "StreamprocError",
    "Summary",
    "UnavailableError",
    "__version__",
    "enricher",
    "transform",
]

_HOMES = {
    "ConfigError": "streamproc.errors",
    "InputError": "streamproc.errors",
    "OutputError": "streamproc.errors",
    "Pipeline": "streamproc.assembly",
    "RecordError": "streamproc.errors",
    "Retry": "streamproc.errors",
    "StreamprocError": "streamproc.errors",
    "UnavailableError": "streamproc.errors",
    "Summary": "streamproc.telemetry.summary",
    "__version__": "streamproc.version",
    "enricher": "streamproc.enrichers.markers",
    "transform": "streamproc.enrichers.markers",
}


def __getattr__(name: str) -> Any:  # a class or a function; type checkers see the imports above
    """Import on first use: the command starts faster than everything imports."""
    if name not in _HOMES:
        raise AttributeError(f"module 'streamproc' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
