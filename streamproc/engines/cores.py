"""How many CPUs this process may keep busy: those it may run on, as far as its cgroup allows."""

from __future__ import annotations

import os
from collections.abc import Iterator
from math import ceil
from pathlib import Path


def usable_cores(root: Path = Path("/")) -> int:
    """By affinity and quota; a quota of one and a half CPUs is worth two. `root` is for tests."""
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:  # macOS
        count = os.cpu_count() or 1
    return max(1, min([count, *(ceil(quota) for quota in _quotas(root))]))


def _quotas(root: Path) -> Iterator[float]:
    """Of the groups that the process is in and those above them, in CPUs; cgroups(7)."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # no Linux
        return
    groups = root / "sys/fs/cgroup"
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            read, top = _of_version_2, groups
        elif "cpu" in controllers.split(","):
            read, top = _of_version_1, groups / "cpu"
        else:
            continue
        # in a container the path may be that of the host, which is not there
        own = top / path.lstrip("/")
        for group in (own, *own.parents):
            if group.is_relative_to(top) and (quota := read(group)) is not None:
                yield quota


def _of_version_2(group: Path) -> float | None:
    try:
        quota, period = (group / "cpu.max").read_text().split()
        return int(quota) / int(period)
    except (OSError, ValueError):  # it is no limit: "max"
        return None


def _of_version_1(group: Path) -> float | None:
    try:
        quota = int((group / "cpu.cfs_quota_us").read_text())
        return quota / int((group / "cpu.cfs_period_us").read_text()) if quota > 0 else None
    except (OSError, ValueError):
        return None
