"""A command that is forked finds what one that is started finds; else it is started."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.conftest import COMMAND, PATIENCE_S, environment
from tests.forked import Forked, Server

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is forked")
SEEN = """
import gc, os, re, resource, signal, sys, threading

def kinds():
    for each in sorted(os.listdir("/proc/self/fd"), key=int):
        try:
            yield re.sub(r"\\d+", "N", os.readlink(f"/proc/self/fd/{each}"))
        except FileNotFoundError:  # that of listdir
            pass

def seen(record):
    streams = [sys.stdin, sys.stdout, sys.stderr]
    handlers = {each.name: repr(signal.getsignal(each)) for each in signal.Signals}
    return {
        "imported": "pycountry" in sys.modules,
        "arguments": sys.argv,
        "main": [vars(sys.modules["__main__"]).get(each) for each in ("__file__", "__name__")],
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "path": sys.path,
        "flags": repr(sys.flags),
        "descriptors": list(kinds()),
        "streams": [[each.encoding, each.errors, each.line_buffering] for each in streams],
        "handlers": {name: re.sub("0x[0-9a-f]+", "", each) for name, each in handlers.items()},
        "blocked": [each.name for each in signal.pthread_sigmask(signal.SIG_BLOCK, [])],
        "parent": os.getppid(),
        "group": os.getpgrp(),
        "leads_a_session": os.getsid(0) == os.getpid(),
        "umask": os.umask(0o22),
        "limits": [resource.getrlimit(each) for each in range(16)],
        "collector": [gc.isenabled(), gc.get_threshold()],
        "threads": threading.active_count(),
    }
"""


@pytest.fixture
def seen(imported: Server, folder: Path) -> Callable[..., list[dict[str, Any]]]:
    """What a stage sees in a command that is started, and in one that is forked."""
    (folder / "seen.py").write_text(SEEN)

    def see(
        *arguments: str,
        env: dict[str, str] | None = None,
        workers: Literal["forked", "started"] = "forked",
        **options: Any,
    ) -> list[Any]:
        both = []
        for begin in (subprocess.Popen, partial(Forked, imported, workers=workers)):
            with begin(
                [*COMMAND, "-e", "x=seen.py:seen", *arguments], cwd=folder,
                env=environment(env or {}), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, **options,
            ) as process:  # fmt: skip
                out, err = process.communicate(b"{}\n", PATIENCE_S)
            assert (process.returncode, err) == (0, b"")
            found = json.loads(out)["x"]
            parents = {os.getpid(): "the test", process.pid: "the command"}
            both.append(found | {"parent": parents.get(found["parent"])})
        return both

    return see


@pytest.mark.parametrize("session", [False, True])
def test_it_is_the_same_inside(seen: Any, session: bool) -> None:
    started, forked = seen("-j", "3", env={"API_KEY": "x"}, start_new_session=session)
    assert (started.pop("imported"), forked.pop("imported")) == (False, True)
    if session:
        assert started.pop("group") != forked.pop("group")  # each its own
    assert forked == started


def test_it_is_the_same_inside_a_worker(seen: Any) -> None:
    started, forked = seen("-w", "2", env={"API_KEY": "x"})
    assert (started.pop("imported"), forked.pop("imported")) == (False, True)
    forked["flags"] = forked["flags"].replace("safe_path=False", "safe_path=True")  # it has no -P
    assert started["parent"] == "the command"
    assert forked == started


def test_a_worker_is_started_where_a_test_says_so(seen: Any) -> None:
    assert [each["imported"] for each in seen("-w", "2", workers="started")] == [False, False]


@pytest.mark.parametrize(
    ("env", "options"),
    [({"PYTHONHASHSEED": "1"}, {}), ({"LC_ALL": "C"}, {}), ({}, {"preexec_fn": int})],
)
def test_what_only_a_start_can_have_is_started(
    seen: Any, env: dict[str, str], options: dict[str, Any]
) -> None:
    assert [each["imported"] for each in seen(env=env, **options)] == [False, False]


def test_threads_begin_them_side_by_side(imported: Server, folder: Path) -> None:
    """Each gets its own: 100 commands of 25 threads, each with a record of its own."""

    def answer(number: int) -> bytes:
        with Forked(
            imported, [*COMMAND, "-e", "none"], cwd=folder, env=environment({}),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        ) as process:  # fmt: skip
            out, _ = process.communicate(b'{"n":%d}\n' % number, PATIENCE_S)
        return out if process.returncode == 0 else b"%d" % process.returncode

    with ThreadPoolExecutor(25) as threads:
        answers = list(threads.map(answer, range(100)))
    assert answers == [b'{"n":%d}\n' % k for k in range(100)]
