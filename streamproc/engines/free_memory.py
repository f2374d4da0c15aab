"""How much memory there is for more processes."""

from __future__ import annotations

import re
from math import inf
from pathlib import Path

from streamproc.engines.cgroups import groups, numbers

_AVAILABLE = re.compile(r"^MemAvailable: +(\d+) kB$", re.MULTILINE)
_CACHED = re.compile(r"^(?:total_)?inactive_file (\d+)$", re.MULTILINE)  # goes when others need it


def free_memory_bytes(root: Path = Path("/")) -> float:
    """Of the machine, and of the cgroups that the process is in; endless where nobody knows."""
    found = _AVAILABLE.search(_text(root / "proc/meminfo"))
    machine = int(found[1]) * 1024 if found else inf
    return min([machine, *map(_free, groups("memory", root))])


def _free(group: Path) -> float:
    limit = numbers(group / "memory.max") or numbers(group / "memory.limit_in_bytes")
    used = numbers(group / "memory.current") or numbers(group / "memory.usage_in_bytes")
    if not limit or not used:
        return inf
    cached = sum(map(int, _CACHED.findall(_text(group / "memory.stat"))[-1:]))
    return limit[0] - used[0] + cached


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
