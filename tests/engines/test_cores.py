"""How many CPUs there are to be used, and how much memory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from streamproc.engines.cores import usable_cores
from streamproc.engines.free_memory import free_memory_bytes


@pytest.fixture(autouse=True)
def sixteen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)))


def lay(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


V2 = "0::/a/b\n"
V1 = "12:memory:/a/b\n4:cpu,cpuacct:/a/b\n0::/x\n"


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, 16),
        ({"proc/self/cgroup": V2}, 16),
        ({"proc/self/cgroup": V2, "sys/fs/cgroup/a/b/cpu.max": "max 100000\n"}, 16),
        ({"proc/self/cgroup": V2, "sys/fs/cgroup/a/b/cpu.max": "400000 100000\n"}, 4),
        ({"proc/self/cgroup": V2, "sys/fs/cgroup/a/b/cpu.max": "150000 100000\n"}, 2),
        ({"proc/self/cgroup": V2, "sys/fs/cgroup/a/b/cpu.max": "1000 100000\n"}, 1),
        ({"proc/self/cgroup": V2, "sys/fs/cgroup/a/b/cpu.max": "9900000 100000\n"}, 16),
        (
            {
                "proc/self/cgroup": V2,
                "sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
                "sys/fs/cgroup/a/cpu.max": "300000 100000\n",
            },
            3,
        ),
        # in a container: the path is that of the host, its own group stands at the top
        ({"proc/self/cgroup": V2, "sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2),
        (
            {
                "proc/self/cgroup": V1,
                "sys/fs/cgroup/cpu/a/b/cpu.cfs_quota_us": "500000\n",
                "sys/fs/cgroup/cpu/a/b/cpu.cfs_period_us": "100000\n",
            },
            5,
        ),
        (
            {
                "proc/self/cgroup": V1,
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            16,
        ),
    ],
)
def test_what_the_cgroup_allows(tmp_path: Path, files: dict[str, str], cores: int) -> None:
    """The narrowest quota of all groups around the process, and never more than it may run on."""
    assert usable_cores(lay(tmp_path, files)) == cores


def test_affinity_is_the_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A quota of four is worth nothing on one CPU."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3})
    files = {"proc/self/cgroup": V2, "sys/fs/cgroup/a/b/cpu.max": "400000 100000\n"}
    assert usable_cores(lay(tmp_path, files)) == 1


MACHINE = {"proc/meminfo": "MemTotal:       16000 kB\nMemAvailable:    8000 kB\n"}
V2_USED = {"proc/self/cgroup": V2, "sys/fs/cgroup/a/memory.current": "3000000\n"}
V2_STAT = {"sys/fs/cgroup/a/memory.stat": "anon 5\ninactive_file 1000000\nactive_file 7\n"}
V1_USED = {
    "proc/self/cgroup": V1,
    "sys/fs/cgroup/memory/a/b/memory.usage_in_bytes": "3000000\n",
    "sys/fs/cgroup/memory/a/b/memory.stat": "inactive_file 1\ntotal_inactive_file 500000\n",
}


@pytest.mark.parametrize(
    ("files", "free"),
    [
        ({}, float("inf")),
        (MACHINE, 8_192_000),
        (MACHINE | V2_USED | {"sys/fs/cgroup/a/memory.max": "max\n"}, 8_192_000),
        (MACHINE | V2_USED | {"sys/fs/cgroup/a/memory.max": "4000000\n"}, 1_000_000),
        (MACHINE | V2_USED | V2_STAT | {"sys/fs/cgroup/a/memory.max": "4000000\n"}, 2_000_000),
        (MACHINE | V2_USED | {"sys/fs/cgroup/a/memory.max": "99000000\n"}, 8_192_000),
        (
            MACHINE | V1_USED | {"sys/fs/cgroup/memory/a/b/memory.limit_in_bytes": "4000000\n"},
            1_500_000,
        ),
    ],
)
def test_free_memory(tmp_path: Path, files: dict[str, str], free: float) -> None:
    """What the machine has, unless a group around the process allows less."""
    assert free_memory_bytes(lay(tmp_path, files)) == free
