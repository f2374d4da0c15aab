"""The cgroups that this process is in; see cgroups(7). None where there are none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


def groups(controller: str, root: Path) -> Iterator[Path]:
    """Their folders, and those of the groups above them, of version 2 or of version 1."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    top = root / "sys/fs/cgroup"
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            first = top
        elif controller in controllers.split(","):
            first = top / controller
        else:
            continue
        # in a container the path may be that of the host, of which only the top is there
        own = first / path.lstrip("/")
        yield from (group for group in (own, *own.parents) if group.is_relative_to(first))


def numbers(path: Path) -> list[int]:
    """What a file of a group says; nothing if there is no such file, or no limit in it."""
    try:
        return [int(word) for word in path.read_text().split()]
    except (OSError, ValueError):  # "max"
        return []
