"""Which Python a run executes: what it names, and nothing that happens to lie around."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import packages_distributions, requires
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from streamproc.enrichers.imports import RESERVED
from tests.conftest import PATIENCE_S, environment, records

LEAD = b'{"email":"me@example.com","name":"Ada Lovelace","website":"example.com","n":1}\n'
# what a run imports early, late, only for some records, or tries and does without
FOUND = (
    "aiofiles", "aiohttp", "asyncio", "attr", "brotli", "click", "cli", "dns", "email_validator",
    "httptools", "idna", "jmespath", "json", "logging", "msgspec", "orjson", "phonenumbers",
    "probablepeople", "pycountry", "requests", "signal", "simplejson", "socket", "sqlite3",
    "statistics", "tldextract", "tomllib", "typing", "usaddress", "uvloop", "zstandard",
)  # fmt: skip
SCORE = "def score(record):\n    return {'score': 'right'}\n"


@pytest.fixture
def hostile(folder: Path) -> Path:
    """A folder full of files that say so when they are executed."""
    for name in FOUND:
        (folder / f"{name}.py").write_text(
            f"open({str(folder / 'executed')!r}, 'a').write({name!r})"
        )
    worker = folder / "streamproc" / "cli" / "worker.py"
    worker.parent.mkdir(parents=True)
    (folder / "streamproc" / "__init__.py").touch()
    worker.write_text(f"open({str(folder / 'executed')!r}, 'a').write('worker')")
    (folder / "stages.py").write_text(SCORE)
    return folder


def executed(folder: Path) -> str:
    found = folder / "executed"
    return found.read_text() if found.exists() else ""


def command(folder: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[bytes]:
    """The installed command, as a user starts it."""
    script = Path(sys.executable).parent / "streamproc"
    return subprocess.run(
        [str(script), *arguments], cwd=folder, input=LEAD * 3, capture_output=True,
        timeout=PATIENCE_S, check=False, env=environment(env),
    )  # fmt: skip


@pytest.mark.parametrize(
    "arguments",
    [
        ["--progress", "-w", "2", "-o", "out", "--dead-letter", "dead"],
        ["-e", "stages.py:score", "-e", "leads", "--set", "leads.when=email", "-w", "2"],
        ["-e", "stages:score", "-e", "leads", "--cache", "1h", "--set", "score.cache.path=kept"],
        ["-e", "x=http://127.0.0.1:1/{n}", "--retries", "0", "--set", "x.http.client=aiohttp"],
        ["-e", "stages:score", "--monitor", "127.0.0.1:0"],
    ],
)
def test_nothing_is_executed_because_of_its_name(hostile: Path, arguments: list[str]) -> None:
    """Files of the working directory that a run does not name are data."""
    done = command(hostile, *arguments)
    assert executed(hostile) == ""
    assert done.returncode in (0, 3), done.stderr
    assert b"Traceback" not in done.stderr


def test_check_and_replay_execute_nothing_either(hostile: Path) -> None:
    """The other commands look at the pipeline file and at dead letters only."""
    (hostile / "p.toml").write_text('[[stage]]\nbuiltin = "leads"\nwhen = "email"\n')
    (hostile / "dead").write_bytes(b'{"_error":{"stage":"x","kind":"y"},"raw":"{}"}\n')
    assert command(hostile, "check", "-c", "p.toml").returncode == 0
    assert command(hostile, "replay", "dead").stdout == b"{}\n"
    assert executed(hostile) == ""


def test_python_m_forgets_the_working_directory(hostile: Path) -> None:
    """With `python -m` Python itself looks there first: until our first line, and not after."""
    for found in ("typing.py", "streamproc/cli/worker.py", "streamproc/__init__.py"):
        (hostile / found).unlink()
    for found in ("streamproc/cli", "streamproc"):
        (hostile / found).rmdir()
    done = subprocess.run(
        [sys.executable, "-m", "streamproc", "-w", "2"], cwd=hostile, input=LEAD * 3,
        capture_output=True, timeout=PATIENCE_S, check=False, env=environment({}),
    )  # fmt: skip
    assert (done.returncode, executed(hostile)) == (0, "")


@pytest.mark.parametrize(
    ("spec", "workers"), [("scoring.py:score", ["-w", "2"]), ("scoring:score", [])]
)
def test_a_pipeline_file_means_what_is_beside_it(
    hostile: Path, tmp_path_factory: Any, spec: str, workers: list[str]
) -> None:
    """And not what is in the working directory, whoever starts it and from where."""
    etc = tmp_path_factory.mktemp("etc")
    (etc / "scoring.py").write_text("import near\n" + SCORE)
    (etc / "near.py").touch()
    marker = f"open({str(hostile / 'executed')!r}, 'a').write('scoring')\n"
    for name in ("scoring.py", "near.py"):
        (hostile / name).write_text(marker + SCORE.replace("right", "wrong"))
    (etc / "p.toml").write_text(f'[[stage]]\npython = "{spec}"\n')
    done = command(hostile, "-c", str(etc / "p.toml"), *workers)
    assert (done.returncode, executed(hostile)) == (0, ""), done.stderr
    assert {record["score"] for record in records(done.stdout)} == {"right"}
    assert command(hostile, "check", "-c", str(etc / "p.toml")).returncode == 0


def test_fallbacks_and_sources_are_beside_the_pipeline_file(folder: Path, run: Any) -> None:
    """Wherever in the file a SPEC stands."""
    etc = folder / "etc"
    etc.mkdir()
    (etc / "scoring.py").write_text(SCORE + "def fail(record):\n    raise OSError\n")
    (etc / "p.toml").write_text(
        '[[stage]]\nname = "one"\npython = "scoring.py:fail"\n'
        'fallback = [ { python = "scoring.py:score" } ]\nmark = true\n'
        '[[stage]]\nall = [ { name = "two", python = "scoring.py:score" } ]\n'
    )
    done = run("-c", "etc/p.toml", stdin=b"{}\n")
    one, two = records(done.stdout)[0]["one"], records(done.stdout)[0]["two"]
    assert (one, two) == ({"score": "right", "_source": "scoring.py:score"}, {"score": "right"})


def test_user_code_has_its_neighbours_for_the_whole_run(folder: Path, run: Any) -> None:
    """Before what is installed, after the standard library, also when it imports late."""
    for name in ("iniconfig", "near", "statistics"):
        (folder / f"{name}.py").write_text("WHERE = 'beside'\n")
    (folder / "late.py").write_text(
        "def f(record):\n"
        "    import iniconfig, near, statistics, sys\n"
        "    path = [p.rsplit('/', 1)[-1] for p in sys.path]\n"
        "    here = sys.path.index(" + repr(str(folder)) + ")\n"
        "    return {'own': iniconfig.WHERE + near.WHERE, 'std': hasattr(statistics, 'mean'),\n"
        "            'order': path.index('lib-dynload') < here < path.index('site-packages')}\n"
    )
    for arguments in (["-e", "late.py:f"], ["-e", "late:f"], ["-e", "late:f", "-w", "2"]):
        done = run(*arguments, stdin=b"{}\n")
        assert records(done.stdout) == [{"own": "besidebeside", "std": True, "order": True}]


def test_a_name_that_we_need_is_ours(folder: Path, run: Any) -> None:
    """There is one module of a name: user code is told that it does not get its own."""
    (folder / "phonenumbers.py").write_text("raise SystemExit('executed')\n")
    stage = "import phonenumbers\ndef f(record):\n    return {'ok': True}\n"
    (folder / "stage.py").write_text(stage)
    done = run("-e", "stage.py:f", "-e", "leads", "--set", "leads.when=email", stdin=LEAD)
    assert done.returncode == 0
    assert b"phonenumbers.py is not imported: streamproc uses a package" in done.stderr


@pytest.mark.parametrize("name", ["email_validator", "statistics"])
def test_a_stage_file_may_have_any_name(folder: Path, run: Any, name: str) -> None:
    """It is the one that is named; what else has that name is what it was."""
    (folder / f"{name}.py").write_text(
        "import dataclasses\n@dataclasses.dataclass\nclass Score:\n    n: 'int'\n"
        "def score(record):\n    return {'score': Score(7).n}\n"
    )
    done = run("-e", f"{name}.py:score", "-e", "leads", stdin=LEAD)
    assert done.returncode == 0
    record = records(done.stdout)[0]
    assert (record["score"], record["enrichment"]["email"]["valid"]) == (7, True)


def test_python_safe_path(folder: Path, run: Any) -> None:
    """Where Python is told to look into no such folder, we do not either."""
    (folder / "near.py").touch()
    (folder / "far.py").write_text("import near\n" + SCORE)
    safe = {"env": {"PYTHONSAFEPATH": "1"}, "stdin": b"{}\n"}
    assert run("-e", "stages.py:plain", **safe).stdout == b'{"ok":true}\n'
    for spec in ("stages:plain", "far.py:score"):
        done = run("-e", spec, **safe)
        assert (done.returncode, done.stderr.count(b"\n")) == (78, 1)
        assert b"o module" in done.stderr  # that it names, or that it imports


def test_a_worker_has_path_and_working_directory_of_its_parent(folder: Path) -> None:
    """And starts without the working directory, whatever is in it."""
    (folder / "where.py").write_text(
        "import os, sys\n"
        "def f(record):\n"
        "    return {'path': sys.path, 'cwd': os.getcwd(), 'safe': sys.flags.safe_path}\n"
    )
    alone, shared = (
        json.loads(command(folder, "-e", "where:f", *workers).stdout.splitlines()[0])
        for workers in ([], ["-w", "2"])
    )
    assert (alone["path"], alone["cwd"]) == (shared["path"], os.path.realpath(folder))
    assert (alone["safe"], shared["safe"]) == (False, True)


def test_all_packages_that_we_need_are_reserved() -> None:
    """Those of our requirements, and of theirs."""
    wanted, names = ["streamproc"], set()
    while wanted:
        name = wanted.pop()
        for requirement in map(Requirement, requires(name) or ()):
            is_ours = any(
                requirement.marker is None or requirement.marker.evaluate({"extra": extra})
                for extra in ("", *(("encodings", "kafka") if name == "streamproc" else ()))
            )
            if is_ours and requirement.name not in names:
                names.add(requirement.name)
                wanted.append(requirement.name)
    spelled = {name.lower().replace("_", "-") for name in names}
    needed = {
        package for package, homes in packages_distributions().items()
        if spelled & {home.lower().replace("_", "-") for home in homes}
    }  # fmt: skip
    assert {each for each in needed if not each.startswith("_")} - RESERVED == set()
