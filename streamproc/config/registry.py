"""Name → class of the built-in stages, imported on first use."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_BUILTINS = {"leads": "streamproc.enrichers.leads:LeadsEnricher"}
_KINDS = {
    "select": "streamproc.enrichers.reshape:SelectEnricher",
    "filter": "streamproc.enrichers.reshape:FilterEnricher",
}
KINDS = tuple(_KINDS)
"""Kinds of stages that are one text: `-e KIND:TEXT`, `KIND = "TEXT"`. They replace the record."""


def builtin(name: str) -> Any:
    """The class behind the built-in stage `name`."""
    return _named(_BUILTINS[name])


def kind(name: str) -> Any:
    """The class behind one of `KINDS`, which takes the text."""
    return _named(_KINDS[name])


def _named(place: str) -> Any:
    module, _, attribute = place.partition(":")
    return getattr(import_module(module), attribute)
