"""How many CPUs there are to be used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from streamproc.engines.cores import usable_cores


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
