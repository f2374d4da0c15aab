"""Name → class of the built-in stages, imported on first use."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_BUILTINS = {"leads": "streamproc.enrichers.leads:LeadsEnricher"}


def builtin(name: str) -> Any:
    """The class behind the built-in stage `name`."""
    module, _, attribute = _BUILTINS[name].partition(":")
    return getattr(import_module(module), attribute)
