"""What somebody may have meant by a name that there is not."""

from __future__ import annotations

import os
from collections.abc import Iterable


def closest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The one of `known` that is most like `name`, None if none is."""
    from difflib import get_close_matches

    return next(iter(get_close_matches(name, list(known), 1, cutoff)), None)


def nearest(name: str, known: Iterable[str]) -> str:
    """A question to put behind what is said of `name`; empty if nothing is like it."""
    match = closest(name, known)
    return f", did you mean {match}?" if match else ""


def nearest_file(path: str) -> str:
    """The same for a file that is not there: one of its folder."""
    folder, name = os.path.split(path)
    try:
        match = None if os.path.lexists(path) else closest(name, os.listdir(folder or "."))
    except FileNotFoundError:
        return _no_folder(path)
    except OSError:
        return ""
    return f", did you mean {os.path.join(folder, match)}?" if match else ""


def not_created(error: OSError, path: str) -> str:
    """Why a file could not be: what the system says, and which folder is not there."""
    return f"{error.strerror}{_no_folder(path)}"


def _no_folder(path: str) -> str:
    folder = os.path.dirname(path)
    if not folder or os.path.lexists(folder):
        return ""
    return f": there is no folder {folder}{nearest_file(folder)}"
