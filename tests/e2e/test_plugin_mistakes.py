"""What is told of a plugin that is misspelt, does not work, or has another one's name."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import install_other

pytestmark = pytest.mark.forked
Run = Callable[..., subprocess.CompletedProcess[bytes]]

PLUGIN = '''
from typing import ClassVar

from streamproc.interfaces import (
    Connector, Observer, ObserverKind, Policy, SinkRecipe, SourceRecipe, StageKind,
)
from streamproc.testing import MemorySource


class Kind(StageKind, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A kind that fails at `at`."""

    shorthand: ClassVar[str] = "at"

    at: str = ""
    api_token: str = ""

    @classmethod
    def contradictions(cls, stage):
        if stage["kind"] == "contradictions":
            raise ValueError("broken")
        return ()

    def opened(self, name):
        if self.at == "opened":
            raise ValueError("broken")
        return 3 if self.at == "callable" else lambda record: None


class Lacking(StageKind, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Nothing of its own."""

    shorthand: ClassVar[str] = "at"

    at: str = ""


class Reading(Policy, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Reads a file, and writes one."""

    shorthand: ClassVar[str] = "file"

    file: str
    log: str = "policy.log"

    def files_read(self):
        yield "the policy's list", self.file

    def files_written(self):
        yield "the policy's log", self.log

    def wrap(self, inner, site):
        raise ValueError("broken")


class Starting(Policy, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Wants to be a part of the admission."""

    level: ClassVar[str] = "start"


class In(SourceRecipe, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Some records."""

    what: ClassVar[str] = "a shelf"
    address: ClassVar[str] = "shelf://NAME"
    shorthand: ClassVar[str] = "name"
    is_endless: ClassVar[bool] = True

    name: str

    def files_read(self):
        yield "the shelf", self.name

    def opened(self, scope):
        return MemorySource([{"n": 1}])


class Half:
    """A sink that lacks the rest."""

    name, place = "half", None

    async def __aenter__(self):
        return self

    async def __aexit__(self, *error):
        return None


class Out(SinkRecipe, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Some records."""

    what: ClassVar[str] = "a shelf"
    address: ClassVar[str] = "shelf://NAME?rows=N"
    shorthand: ClassVar[str] = "name"

    name: str
    rows: int = 1

    def opened(self, scope):
        return Half()


class Shelf(Connector):
    source = In
    sink = Out


class Heap(Connector):
    sink = Out


class Leaving(Observer):
    def __enter__(self):
        return self

    def __exit__(self, *error):
        raise OSError("full")


class Late(ObserverKind, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Cannot be left."""

    def opened(self):
        return Leaving()
'''
POINTS = """
[streamproc.stages]
kind = mine:Kind
lacking = mine:Lacking
[streamproc.policies]
reading = mine:Reading
starting = mine:Starting
[streamproc.connectors]
shelf = mine:Shelf
heap = mine:Heap
gone = nowhere:Gone
[streamproc.observers]
late = mine:Late
"""
RECORDS = b'{"n":1}\n'


@pytest.fixture
def mine(run: Run, folder: Path) -> Run:
    """The command, with the plugin `other`."""
    install_other(folder, "streamproc.stages", "kind", "mine:Kind")
    (folder / "other-1.dist-info" / "entry_points.txt").write_text(POINTS)
    (folder / "mine.py").write_text(PLUGIN)

    def with_plugin(*arguments: str) -> subprocess.CompletedProcess[bytes]:
        return run(*arguments, stdin=RECORDS, env={"PYTHONPATH": str(folder)})

    return with_plugin


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("-e", "kin:x"), 78, "no kind of stage 'kin', did you mean kind:x?"),
        (("-e", "kind"), 78, "did you mean kind:TEXT?"),
        (("-e", "kind:"), 78, "-e kind:: expected kind:TEXT"),
        (("-e", "kind:x", "--set", "kind.redaing=f"), 78, "unknown key, did you mean reading"),
        (
            ("-e", "kind:x", "--set", "kind.api_token=x"),
            78,
            "belongs into the table kind: kind =",
        ),
        (
            ("-e", "kind:x", "--set", "kind.starting.x=1"),
            78,
            "level is one of record, call and",
        ),
        (("-e", "kind:callable"), 78, "has to open what can be called, not int"),
        (("shelv://x",), 2, "did you mean shelf?"),
        (("heap://x",), 2, "it can be written to, not read from"),
        (("-o", "shelf://x?rows=many"), 78, "sink.shelf.rows: expected int, got 'many'"),
        (("-o", "shelf://x?rows=1&rows=2"), 2, "rows is there twice"),
        (("-o", "shelf://x?name=y"), 2, "name is there twice"),
        (("-o", "out", "--stop-at-end"), 2, "--stop-at-end is for a Kafka topic or a shelf"),
    ],
)
def test_a_misspelt_word_of_a_plugin_is_told(
    mine: Run, arguments: tuple[str, ...], code: int, said: str
) -> None:
    done = mine(*arguments)
    assert (done.returncode, done.stdout) == (code, b""), done.stderr
    assert said in done.stderr.decode()


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("source.shelv = 'x'", "source.shelv: unknown key, did you mean shelf?"),
        ("source.heap = 'x'", "source.heap: can be written to, not read from"),
        ("source.gone = 'x'", "source.gone: the plugin nowhere:Gone cannot be imported"),
        ("stage = [{ knid = 'x' }]", "stage[0].knid: unknown key, did you mean kind?"),
        ("observers.lat = {}", "there is no such observer, did you mean late?"),
    ],
)
def test_a_misspelt_key_of_a_plugin_is_told(mine: Run, folder: Path, table: str, said: str) -> None:
    (folder / "p.toml").write_text(table)
    done = mine("check", "p.toml")
    assert done.returncode == 78
    assert said in done.stderr.decode()


def test_what_cannot_be_imported_is_told_once(mine: Run, folder: Path) -> None:
    """It says what the stage does, so that nothing else is missing there."""
    points = folder / "other-1.dist-info" / "entry_points.txt"
    points.write_text("[streamproc.stages]\nkind = nowhere:Kind\n")
    done = mine("-e", "kind:x")
    assert done.returncode == 78
    assert b"cannot be imported: ModuleNotFoundError" in done.stderr
    assert b"exactly one of" not in done.stderr


@pytest.mark.parametrize("name", ["my-kind", "Kind", "retry"])
@pytest.mark.parametrize("group", ["stages", "policies", "observers", "connectors"])
def test_check_refuses_names_of_plugins_that_nobody_uses(
    mine: Run, folder: Path, group: str, name: str
) -> None:
    """Those that cannot be a key, and those that exist."""
    taken = {"observers": "summary", "connectors": "kafka"}
    name = taken.get(group, name) if name == "retry" else name
    points = folder / "other-1.dist-info" / "entry_points.txt"
    points.write_text(f"[streamproc.{group}]\n{name} = mine:Kind\n")
    (folder / "p.toml").write_text("concurrency = 3\n")
    done = mine("check", "p.toml")
    assert done.returncode == 78
    assert f"streamproc: {name}: a plugin" in done.stderr.decode()


def test_the_help_shows_the_plugins_that_work(mine: Run) -> None:
    """With a word of the one that does not."""
    done = mine("--help")
    assert done.returncode == 0, done.stderr
    shown = " ".join(done.stdout.decode().split())
    assert "a shelf shelf://NAME " in shown
    assert "a shelf, as output shelf://NAME?rows=N" in shown
    assert "gone:// gone: the plugin nowhere:Gone cannot be imported" in shown


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize(
    "arguments",
    [
        ("-e", "kind:contradictions"),
        ("-e", "kind:opened"),
        ("-e", "lacking:x"),
        ("-e", "kind:x", "--set", "kind.reading=f"),
        ("-e", "kind:x", "-o", "shelf://x"),
    ],
)
def test_a_bug_of_a_plugin_is_not_called_ours(
    mine: Run, arguments: tuple[str, ...], workers: str
) -> None:
    """What it raises, what it lacks: with its traceback, and the name of its distribution."""
    done = mine(*arguments, "-w", workers)
    assert done.returncode == 1
    assert b"a bug in other, a plugin; please report it" in done.stderr
    assert b"Traceback" in done.stderr
    assert b"a bug in streamproc" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-e", "kind:x", "--set", "kind.reading=f", "-o", "f"), "f is both the policy's list and"),
        (
            ("-e", "kind:x", "--set", "kind.reading=f", "-o", "policy.log"),
            "policy.log is both the output and the policy's log",
        ),
        (("shelf://f", "-e", "none", "-o", "f"), "f is both the shelf and the output"),
    ],
)
def test_no_file_of_a_plugin_is_written_over(
    mine: Run, folder: Path, arguments: tuple[str, ...], said: str
) -> None:
    """Of a stage, of its policies, and of an end."""
    (folder / "f").write_text("mine\n")
    done = mine(*arguments)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr.decode()
    assert (folder / "f").read_text() == "mine\n"


def test_a_secret_in_a_table_of_a_plugin_is_not_shown(mine: Run, folder: Path) -> None:
    """As in one of ours: a name that says so is enough."""
    stage = "{ kind = { at = 'x', api_token = 'abcdefghij' } }"
    (folder / "p.toml").write_text(f"stage = [{stage}, {{ name = 'b', all = [{stage}] }}]\n")
    done = mine("check", "p.toml")
    assert b"api_token" in done.stdout + done.stderr
    assert b"abcdefghij" not in done.stdout + done.stderr


def test_an_observer_that_cannot_be_left_is_named(mine: Run, folder: Path) -> None:
    (folder / "p.toml").write_text("[observers.late]\n")
    done = mine("-c", "p.toml")
    assert (done.returncode, done.stdout) == (0, RECORDS)
    assert b"observers.late could not be closed: OSError: full" in done.stderr


def test_the_schema_knows_what_stands_for_a_table(mine: Run, folder: Path) -> None:
    """Of an end, too: an editor takes what the command takes."""
    points = folder / "other-1.dist-info" / "entry_points.txt"
    points.write_text("[streamproc.connectors]\nshelf = mine:Shelf\n")
    known = json.loads(mine("schema").stdout)["$defs"]
    for end, recipe in (("SourceSettings", "In"), ("SinkSettings", "Out")):
        short = known[end]["properties"]["shelf"]
        assert short == {"anyOf": [{"$ref": f"#/$defs/{recipe}"}, {"type": "string"}]}
