"""Mistakes that people make, and the one line that helps: what, where, and what to do next."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from streamproc import __version__
from streamproc.cli.main import COMMANDS

pytestmark = pytest.mark.forked
CODE = """
import streamproc
def two(record, model): return {}
def nobody(): return {}
def option(record, *, top: int = 3): return {}
def yields(record): yield record
async def later(record): yield record
class NoCall: pass
class NoRecord:
    def __call__(self): return {}
class Key:
    def __init__(self, key): pass
    def __call__(self, record): return {}
"""

STAGE = '[[stage]]\nname = "a"\nhttp = { url = "http://h/{x}" }\n'

# what is typed, and what the one line has to say: what, where, what to do next
SPECS = {
    "lead": ("-e lead", "expected leads", "did you mean leads?"),
    "code.py:": ("-e code.py:", "name the function", "code.py:FUNCTION"),
    "code.py": ("-e code.py", "which function", "code.py:FUNCTION"),
    "my stage=leads": ("-e my stage=leads", "a name has", "-e 'my_stage=leads'"),
    "a.b=http://h/{x}": ("-e a.b=", "a name has", "into ="),
    "ftp://h/{x}": ("-e ftp://h/{x}", "ftp:// is no stage", "call http:// or https://"),
    "x=http:/h.de/{x}": ("-e x=http:/", "expected", "http://h.de/{x}"),
    "http://h/{x}": ("-e http://h/{x}", "needs a name", "-e NAME=http://h/{x}"),
    "x=h.de/v1/{x}": ("-e x=h.de/v1/{x}", "expected an address", "https://h.de/v1/{x}"),
    "x=127.0.0.1:80/{x}": ("-e x=127", "expected an address", "https://127.0.0.1:80/{x}"),
    "x=https//h/{x}": ("-e x=https//", "expected", "https://h/{x}"),
    "filtr:email": ("-e filtr:", "no kind of stage 'filtr'", "did you mean filter:email?"),
    "jsn:loads": ("jsn:loads", "expected module:function", "did you mean 'json'?"),
    "code.py::two": ("code.py::two", "expected module:function or file.py:function", "'code.py:'"),
    "filter:starts_wth(x, 'a')": ("filter", "no function", "did you mean starts_with()?"),
    "filter:x > 4000": ("'x > 4000'", "numbers stand in backticks", "x > `4000`"),
    "select:{a b}": ("select", "is no JMESPath", "jmespath.org"),
    "code.py:two": ("two(record, model)", "missing", "options = { model = ... }"),
    "code.py:nobody": ("nobody()", "too many", "def f(record)"),
    "code.py:yields": ("yields", "yields", "@streamproc.transform"),
    "code.py:later": ("later", "yields", "@streamproc.transform"),
    "code.py:NoCall": ("NoCall", "no __call__", "def __call__(self, record)"),
    "code.py:NoRecord": ("NoRecord", "too many", "def f(record)"),
    "code.py:Key": ("Key(key)", "missing", "options = { key = ... }"),
}

FILES = {
    STAGE.replace(" }", ", timeout = 3 }"): (
        "stage[0].http.timeout", "belongs to the stage", "write timeout"
    ),
    STAGE + "headers = { }": ("stage[0].headers", "belongs into the table http", "http = {"),
    '[[stage]]\nname = "a"\nurl = "http://h/"\nbuiltin = "none"': (
        "stage[0].url", "belongs into the table http", "http = { url = ... }"
    ),
    '[[stage]]\nbuiltin = "leads"\ncountry = "UK"': (
        "stage[0].country", "no phone numbers of 'UK' are known", "such as GB"
    ),
    'retry = {}\n[[stage]]\nbuiltin = "none"': ("retry", "belongs to a stage", "[[stage]]"),
    STAGE + "ordered = false": ("stage[0].ordered", "belongs to the top", "above the first"),
    '[stage]\nbuiltin = "none"': ("stage", "double brackets", "[[stage]]"),
    STAGE + 'when = "x > 4000"': ("stage[0].when", "numbers stand in backticks", "x > `4000`"),
    STAGE + 'when = "x = y"': ("stage[0].when", "no JMESPath", "equal is =="),
    STAGE + 'when = "a and b"': ("stage[0].when", "no JMESPath", "&&"),
    STAGE.replace('"a"', '"a b"'): ("stage[0].name", "a name has", "'a_b' is one"),
    STAGE.replace("http:", "ftp:"): ("stage[0]: http.url", "expected", "https://host/"),
    STAGE + "options = { a = 1 }": ("stage[0].options", "only a python stage", "has options"),
    '[[stage]]\npython = "code.py:option"\noptions = { top = "x" }': (
        "options.top", "expected int", "got 'x'"
    ),
    '[[stage]]\npython = "code.py:option"\noptions = { tpo = 1 }': (
        "option(record", "the options tpo", "did you mean top?"
    ),
    '[[stage]]\npython = "code.py:Key"\noptions = { key = "${UNSET}" }': (
        "stage[0].options.key", "UNSET", "is not set"
    ),
    '[[stage]]\npython = "code.py:Key"\noptions = "x"': (
        "stage[0].options", "expected table", "got a text"
    ),
    STAGE + 'deadline = "0s"': ("stage[0].deadline", "above 0", "such as 30"),
    STAGE.replace(" }", ', auth = { bearer = "${EMPTY}" } }'): (
        "stage[0].http.auth.bearer", "EMPTY is empty", "set it"
    ),
    '[[stage]]\nfilter = "x"\ninto = "y"': ("stage[0].into", "a filter", "leave into out"),
    "workers = 65\n" + STAGE: ("64 cannot be shared by 65 workers", "(-j)", "(-w)"),
    'output = "x"\n[sink]\nkafka = { brokers = "h:9", topic = "t" }': (
        "output", "there is a [sink] too", "leave one of them out"
    ),
}  # fmt: skip

USAGE = {
    ("chek", "p.toml"): ("'chek'", "no command or file", "streamproc check"),
    ("version",): ("'version'", "no command or file", "streamproc --version"),
    ("--limit", "x"): ("--limit", "'x'", "not a valid whole number"),
    ("serve",): ("serve", "not available in this version"),
    ("check",): ("check", "expected one pipeline file", "streamproc check FILE"),
    ("-e", "x=http://h/{x}", "-H", "Key 12345"): ("-H", "expected", "'Name: value'"),
    ("-e", "x=http://h/{x}", "-H", "Key: $KEY"): ("-H", "sent as it is", "${KEY}"),
    ("-e", "x=http://h/{x}", "--auth", "bearer:$KEY"): ("--auth", "as it is", "${KEY}"),
    ("--stop-at-end",): ("--stop-at-end", "for a Kafka topic", "leave it out"),
    ("https://h/leads.jsonl",): ("https://h/leads.jsonl", "curl -s", "-e NAME=URL"),
    ("help", "chek"): ("'chek'", "did you mean check?", "streamproc help lists"),
    ("-e", "x=http://h/", "-X", "PSOT"): ("-X", "expected GET, POST", "got 'PSOT'"),
    ("--timeout", "0"): ("--timeout", "above 0", "such as 30"),
    ("--connect-timeout", "0s"): ("--connect-timeout", "above 0", "such as 30"),
    ("-c", ""): ("--config", "expected the name of a file", "got ''"),
    ("--checkpoint", ""): ("--checkpoint", "expected the name of a file", "got ''"),
    ("--dead-letter", "-"): ("--dead-letter", "stdout has the records", "./-"),
    ("--report", "-"): ("--report", "stdout has the records", "./-"),
    ("-o", ""): ("--output", "expected the name of a file", "got ''"),
    ("-e", "x=http://h/", "-H", "A: 1", "-H", "a: 2"): ("-H: a", "given twice", "write one"),
    ("-e", "x=http://h/", "--json", "null"): ("--json null", "no body", "leave it out"),
    ("--ack-fd", "9" * 20): (f"--ack-fd {'9' * 20}", "not open for writing", "9>FILE"),
    ("--sample-seed", "3"): ("--sample-seed", "random share", "--sample 0.01"),
}


def expect(done: Any, code: int, says: tuple[str, ...]) -> None:
    assert (done.returncode, done.stdout) == (code, b"")
    *before, line = done.stderr.decode().splitlines()
    assert not before or before[0].startswith("Usage: ")
    assert [part for part in says if part not in line] == [], line


@pytest.mark.parametrize("spec", SPECS)
def test_specs(run: Any, folder: Path, spec: str) -> None:
    """A SPEC that is none is 78, before anything is read."""
    (folder / "code.py").write_text(CODE)
    expect(run("-e", spec, stdin=b"{}\n"), 78, SPECS[spec])


@pytest.mark.parametrize("text", FILES)
def test_files(run: Any, folder: Path, text: str) -> None:
    """So is a pipeline file with a mistake."""
    (folder / "code.py").write_text(CODE)
    (folder / "p.toml").write_text(text)
    expect(run("check", "p.toml", env={"EMPTY": ""}), 78, FILES[text])


@pytest.mark.parametrize("arguments", USAGE)
def test_usage(run: Any, arguments: tuple[str, ...]) -> None:
    """What is asked of the command in the wrong way is 2."""
    expect(run(*arguments), 2, USAGE[arguments])


def test_all_of_a_file_in_one_round(run: Any, folder: Path) -> None:
    """Keys, variables, files and expressions are told together, each once."""
    (folder / "p.toml").write_text(
        'timeot = 3\n[[stage]]\npython = "nowhere.py:f"\nwen = "x"\n'
        '[[stage]]\nbuiltin = "leads"\nwhen = "x > 3"\n'
        '[[stage]]\nname = "c"\nhttp = { url = "http://h/${NO_SUCH}", select = "a b" }\n'
    )
    for arguments in (("check", "p.toml"), ("-c", "p.toml")):
        done = run(*arguments)
        assert done.returncode == 78
        told = sorted(line.split(": ")[1] for line in done.stderr.decode().splitlines())
        assert told == [
            "stage[0]", "stage[0].wen", "stage[1].when", "stage[2].http.select",
            "stage[2].http.url", "timeot",
        ]  # fmt: skip


def test_help_is_a_command(run: Any) -> None:
    """`streamproc help COMMAND`; topics have tests of their own."""
    assert run("help", "run").stdout.startswith(b"Usage: streamproc [OPTIONS]")
    assert run("help", "check").stdout.startswith(b"Usage: streamproc check ")


def test_dead_letters_are_used_when_they_are_named(run: Any, folder: Path) -> None:
    """`--dead-letter` alone takes the failed records, and says so; a mode that is given holds."""
    done = run("-e", "none", "--dead-letter", "dead", stdin=b"bad\n{}\n")
    assert (done.returncode, done.stdout) == (3, b"{}\n")
    assert b"note: " in done.stderr
    assert b"--on-error annotate" in done.stderr
    assert (folder / "dead").read_bytes().count(b"\n") == 1
    given = ("--on-error", "annotate", "--dead-letter", "dead")
    done = run("-e", "none", *given, stdin=b"bad\n{}\n")
    assert (done.stdout.count(b"\n"), b"note:" in done.stderr) == (2, False)


@pytest.mark.parametrize(
    ("arguments", "code", "meant"),
    [
        (("leads.jsnl",), 66, "leads.jsonl"),
        (("./leads.jsnl",), 66, "./leads.jsonl"),
        (("replay", "leads.jsnl"), 66, "leads.jsonl"),
        (("-c", "leads.jsnl"), 78, "leads.jsonl"),
        (("subs/in.jsonl",), 66, "sub"),
        (("-e", "none", "-o", "subs/out"), 73, "sub"),
        (("-e", "none", "--checkpoint", "subs/cp", "-o", "out", "leads.jsonl"), 73, "sub"),
        (("--report", "subs/r", "leads.jsonl"), 73, "sub"),
        (("-e", "a=http://h/", "--set", "a.cache.path=subs/c", "leads.jsonl"), 73, "sub"),
    ],
)
def test_a_file_that_is_misspelt(
    run: Any, folder: Path, arguments: tuple[str, ...], code: int, meant: str
) -> None:
    """One that lies beside it may be meant, or another folder."""
    (folder / "leads.jsonl").write_bytes(b"{}\n")
    (folder / "sub").mkdir()
    expect(run(*arguments), code, ("No such file", f"did you mean {meant}?"))


def test_a_variable_that_is_misspelt(run: Any) -> None:
    """It looks like an option and is none: a note, for it may be somebody else's."""
    done = run("-e", "none", stdin=b"{}\n", env={"STREAMPROC_CONCURENCY": "3"})
    assert (done.returncode, done.stdout) == (0, b"{}\n")
    assert b"did you mean STREAMPROC_CONCURRENCY?" in done.stderr


@pytest.mark.parametrize(("name", "value"), [("CONCURRENCY", "x"), ("ORDERED", "x"),
                                             ("RATE", "x"), ("SUMMARY", "x")])  # fmt: skip
def test_a_variable_with_a_mistake(run: Any, name: str, value: str) -> None:
    """The message names the variable: nobody typed the option."""
    done = run("-e", "none", stdin=b"{}\n", env={f"STREAMPROC_{name}": value})
    expect(done, 2, (f"Invalid value for STREAMPROC_{name}: ", "'x'"))


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_says_its_version(run: Any, command: str) -> None:
    """And shows its help, by its short option and by its long one."""
    long, short = run(command, "--version"), run(command, "-V")
    assert (long.returncode, long.stdout) == (0, f"streamproc, version {__version__}\n".encode())
    assert short.stdout == long.stdout
    assert run(command, "-h").stdout == run(command, "--help").stdout != b""


def test_stages_that_are_replaced(run: Any, folder: Path) -> None:
    """`-e` beside a file with stages leaves those out, and says so."""
    (folder / "p.toml").write_text('[[stage]]\nbuiltin = "leads"\n')
    done = run("-c", "p.toml", "-e", "none", stdin=b"{}\n")
    assert (done.returncode, done.stdout) == (0, b"{}\n")
    assert b"-e replaces the stages of p.toml" in done.stderr
    (folder / "p.toml").write_text("ordered = false\n")
    assert run("-c", "p.toml", "-e", "none", stdin=b"{}\n").stderr == b""


def test_flags_for_calls_where_nobody_is_called(run: Any) -> None:
    """A note, for in the environment they are meant for other runs, too."""
    done = run("--rate", "5/s", "--cache", "1h", stdin=b"{}\n")
    assert (done.returncode, done.stdout) == (0, b"{}\n")
    assert b"no stage calls anybody, so --rate, --cache have no effect" in done.stderr
    assert run("-e", "stages.py:plain", "--rate", "5/s", stdin=b"{}\n").stderr == b""


def test_ends_that_are_replaced(run: Any, folder: Path) -> None:
    """INPUT and -o win over [source] and [sink] of the file: the pipeline is tried on a file."""
    (folder / "p.toml").write_text(
        '[source]\nkafka = { brokers = "127.0.0.1:1", topics = ["in"] }\n'
        '[sink]\nkafka = { brokers = "127.0.0.1:1", topic = "out" }\n'
        '[[stage]]\nbuiltin = "none"\n'
    )
    (folder / "in.jsonl").write_bytes(b'{"a":1}\n')
    done = run("-c", "p.toml", "in.jsonl", "-o", "out.jsonl")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert (folder / "out.jsonl").read_bytes() == b'{"a":1}\n'
    done = run("-c", "p.toml", "-", "-o", "-", stdin=b'{"a":2}\n')
    assert (done.returncode, done.stdout, done.stderr) == (0, b'{"a":2}\n', b"")


def test_a_text_in_double_quotes(run: Any) -> None:
    """In JMESPath that is a field; the line says how a text is written."""
    lines = b'{"status":"OK"}\n' * 20
    done = run("-e", 'filter:status == "OK"', stdin=lines)
    assert (done.returncode, b"in single quotes: 'OK'" in done.stderr) == (3, True)
    done = run("-e", 'select:{"a": status}', stdin=lines)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(("mode", "says"), [("pass", b"--incoming-errors redo"),
                                            ("redo", b"replay --failed-only")])  # fmt: skip
def test_failed_records_that_come_in_again(run: Any, mode: str, says: bytes) -> None:
    """They pass untouched; where nothing was done for anybody, a line says what would."""
    line = b'{"a":1,"_error":{"stage":"s","kind":"k","message":"m"}}\n'
    done = run("-e", "none", "--incoming-errors", mode, stdin=line)
    assert (done.returncode, done.stdout) == (0, line)
    assert b"1 record came in with an _error and passed untouched" in done.stderr
    assert says in done.stderr
    done = run("-e", "none", stdin=line + b"{}\n")
    assert (done.returncode, done.stderr) == (0, b"")
