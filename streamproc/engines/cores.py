"""How many CPUs this process may keep busy: those it may run on, as far as its cgroup allows."""

from __future__ import annotations

import os
from math import ceil
from pathlib import Path

from streamproc.engines.cgroups import groups, numbers


def usable_cores(root: Path = Path("/")) -> int:
    """By affinity and quota; a quota of one and a half CPUs is worth two. `root` is for tests."""
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:  # macOS
        count = os.cpu_count() or 1
    quotas = (_quota(group) for group in groups("cpu", root))
    return max(1, min([count, *(ceil(quota) for quota in quotas if quota is not None)]))


def _quota(group: Path) -> float | None:
    """In CPUs, None for no limit."""
    old = numbers(group / "cpu.cfs_quota_us") + numbers(group / "cpu.cfs_period_us")
    match numbers(group / "cpu.max") or old:
        case [quota, period] if quota > 0:
            return quota / period
    return None
