"""`--dry-run`: what would be called, and nothing is."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.forked
PIPELINE = """
[[stage]]
name = "contact"
builtin = "leads"

[[stage]]
name = "company"
when = "email"
http.url = "{url}/companies/{{contact.email.domain}}"
http.auth = {{ bearer = "${{API_KEY}}" }}
http.headers = {{ X-Token = "abc", Idempotency-Key = "{{id}}" }}
cache = {{ ttl = "1h", path = "cache.db" }}
request_id = true

[[stage]]
name = "score"
when = "company.size > `10`"
http.url = "{url}/score/{{company.id}}?token=t&q=a%20{{name}}"
http.json = {{ size = "{{company.size}}", own = "{{n}}" }}

[[stage]]
name = "mine"
python = "mine.py:Stage"

[[stage]]
name = "after"
http = {{ url = "{url}/after/{{mine.x}}/{{n}}", on_missing = "fail" }}
"""
MINE = """
class Stage:
    def __init__(self):
        open("created", "w").close()
    def __call__(self, record):
        open("called", "w").close()
"""


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Nobody may connect to it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


@pytest.fixture
def pipeline(folder: Path, listener: socket.socket) -> Path:
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    (folder / "mine.py").write_text(MINE)
    path = folder / "p.toml"
    path.write_text(PIPELINE.format(url=url))
    return path


def dry(run: Any, *arguments: str, lines: bytes, **options: Any) -> tuple[int, str]:
    done = run("--dry-run", *arguments, stdin=lines, env={"API_KEY": "sekret-1"}, **options)
    assert b"Traceback" not in done.stderr
    return done.returncode, done.stdout.decode()


def test_it_shows_what_would_be_called(run: Any, pipeline: Path, listener: socket.socket) -> None:
    """Requests as they would be sent, secrets masked; what only an answer tells is named."""
    line = b'{"id":7,"n":1.50,"name":"Ada","email":"ada@example.com"}\n'
    code, out = dry(run, "-c", "p.toml", "--run-id", "job.7", lines=line)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    assert out.splitlines() == [
        '<stdin>, line 1: {"id":7,"n":1.50,"name":"Ada","email":"ada@example.com"}',
        "  contact: leads, which calls nobody",
        f"  company: GET {url}/companies/example.com",
        "      X-Token: ***",
        "      Accept: application/json",
        "      Authorization: Bearer ***",
        "      Idempotency-Key: 7",
        "      X-Request-Id: job.7:<stdin>:1",
        "  score: only when company.size > `10`, and company is not known yet:",
        f"  score: POST {url}/score/{{company.id}}?token=***&q=a%20Ada",
        "      Accept: application/json",
        "      Content-Type: application/json",
        '      {"size":"{company.size}","own":1.5}',
        "  mine: mine.py:Stage, Python that is not called here",
        f"  after: GET {url}/after/{{mine.x}}/1.5",
        "      Accept: application/json",
        "dry run of 1 record: nothing is called; company: 1 called; score: 1 perhaps called; "
        "mine: 1 called; after: 1 called",
    ]
    assert code == 0


def test_it_shows_what_would_be_skipped_or_fail(run: Any, pipeline: Path) -> None:
    """And why; 3 says that a record would fail, as the run itself would."""
    code, out = dry(run, "-c", "p.toml", lines=b'{"n":1,"email":"no address"}\n{"id":2}\nnope\n')
    assert "  company: skipped, for the field contact.email.domain is missing or empty\n" in out
    assert "  company: skipped, for `when` is not true: email\n" in out
    assert "  after: fails, missing_field: the field n is missing or empty\n" in out
    assert "  decode: fails, malformed: " in out
    assert "; company: 2 skipped; " in out
    assert code == 3


def test_it_touches_nothing(
    run: Any, pipeline: Path, folder: Path, listener: socket.socket
) -> None:
    """No connection, no file is made or changed, no stage created; `--resume` reads nothing."""
    (folder / "out").write_bytes(b"of an earlier run\n")
    (folder / "in").write_bytes(b'{"id":1,"n":1,"email":"ada@example.com"}\n')
    before = sorted(each.name for each in folder.iterdir())
    code, out = dry(run, "in", "-c", "p.toml", "-o", "out", "--checkpoint", "cp", "--resume",
                    "--dead-letter", "dead", lines=b"", )  # fmt: skip
    assert (code, "in, line 1: " in out) == (0, True)
    after = {each.name for each in folder.iterdir()} - {"__pycache__"}
    assert sorted(after) == before
    assert (folder / "out").read_bytes() == b"of an earlier run\n"
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_so_many_records(run: Any, pipeline: Path) -> None:
    """The first ten, or --limit; after --skip, and without reading on for more."""
    lines = b"".join(b'{"n":%d}\n' % n for n in range(30))
    assert "dry run of 10 records" in dry(run, "-c", "p.toml", lines=lines)[1]
    _, out = dry(run, "-c", "p.toml", "--limit", "2", "--skip", "12", lines=lines)
    assert [each for each in out.splitlines() if each.startswith("<stdin>")] == [
        '<stdin>, line 13: {"n":12}', '<stdin>, line 14: {"n":13}',
    ]  # fmt: skip
    assert "dry run of 30 records" in dry(run, "-c", "p.toml", "--limit", "99", lines=lines)[1]


def test_it_reads_no_further_than_it_shows(start: Any, pipeline: Path) -> None:
    """A pipe that stays open does not hold it."""
    process = start("--dry-run", "--limit", "1", "-e", "none")
    process.stdin.write(b'{"n":1}\n')
    assert process.stdout.readline() == b'<stdin>, line 1: {"n":1}\n'
    assert process.wait() == 0


def test_reshaping_is_done_for_real(run: Any) -> None:
    """What a filter takes out goes no further; a select's records go on, one by one."""
    stages = ("-e", "filter:n", "-e", "select:list[].{id: @}", "-e", "x=http://h.example/{id}")
    code, out = dry(run, *stages, lines=b'{"n":1,"list":[1,2]}\n{"list":[3]}\n{"n":1,"list":3}\n')
    assert [each for each in out.splitlines() if each.startswith("  x")] == [
        "  x: GET http://h.example/1", "  x: GET http://h.example/2",
    ]  # fmt: skip
    assert "  filter: goes no further, for this is not true: n\n" in out
    assert code == 0


def test_several_sources_and_lists(run: Any, folder: Path) -> None:
    """Each source is named; a request for a list is shown with the one record in it."""
    (folder / "p.toml").write_text("""
[[stage]]
name = "both"
all = [
    { name = "a", http = { url = "http://a.example/{id}" } },
    { name = "b", when = "no", http = { url = "http://b.example/{id}" } },
]
[[stage]]
name = "bulk"
batch = 50
http = { url = "http://c.example/", json = { id = "{id}", a = "{a.x}" } }
""")
    _, out = dry(run, "-c", "p.toml", lines=b'{"id":1}\n')
    assert "  both: a: GET http://a.example/1\n" in out
    assert "  both: b: skipped, for `when` is not true: no\n" in out
    assert '      [{"id":1,"a":"{a.x}"}]\n' in out


def test_a_host_that_only_an_answer_names(run: Any, folder: Path) -> None:
    """There is no URL to show then, but the template."""
    (folder / "p.toml").write_text("""
[[stage]]
name = "a"
http = { url = "http://a.example/{id}" }
[[stage]]
name = "b"
http = { url = "{a.site}", allow_hosts = ["*.example.com"] }
""")
    code, out = dry(run, "-c", "p.toml", lines=b'{"id":1}\n')
    assert "  b: GET {a.site}, and a.site is not known yet\n" in out
    assert code == 0


def test_what_an_unknown_record_has(run: Any, folder: Path) -> None:
    """After a transform nothing is known, after a function that adds members what was there is."""
    (folder / "mine.py").write_text(
        "import streamproc\n"
        "def add(record): raise SystemExit\n"
        "@streamproc.transform\ndef other(record): raise SystemExit\n"
    )
    stages = ("-e", "mine.py:add", "-e", "x=http://h.example/{id}/{new}", "-e", "mine.py:other",
              "-e", "y=http://h.example/{id}")  # fmt: skip
    code, out = dry(run, *stages, lines=b'{"id":1}\n')
    assert "  x: GET http://h.example/1/{new}\n" in out
    assert "  y: GET http://h.example/{id}\n" in out
    assert code == 0


def test_what_is_known_in_part(run: Any, folder: Path) -> None:
    """An answer that goes where something stood, or into a part of the record."""
    (folder / "p.toml").write_text("""
[[stage]]
name = "email"
http = { url = "http://a.example/{email}" }
[[stage]]
name = "more"
into = "a.b"
http = { url = "http://b.example/{a.x}" }
[[stage]]
builtin = "leads"
[[stage]]
select = "{a: a, id: id, lead: enrichment, n: keys(@)}"
[[stage]]
name = "last"
http = { url = "http://c.example/{a.x}/{id}" }
""")
    code, out = dry(run, "-c", "p.toml", lines=b'{"id":1,"email":"a@b.com","a":{"x":2}}\n')
    assert "  more: GET http://b.example/2\n" in out
    assert "and part of the record is not known yet" in out
    assert "  last: GET http://c.example/{a.x}/{id}\n" in out
    assert code == 0


def test_control_characters_do_not_reach_the_terminal(run: Any) -> None:
    """Whatever a record has in it stays one line of text."""
    _, out = dry(run, "-e", "x=http://h.example/?q={q}", lines=b'{"q":"\x1b[2J\\u001b[1m"}\n')
    assert "\x1b" not in out


def test_mistakes_are_told_as_by_a_run(run: Any, folder: Path) -> None:
    """78 for a pipeline that is no good, 66 for an input that is not there."""
    assert run("--dry-run", "-e", "stages.py:nobody", stdin=b"{}\n").returncode == 78
    assert run("--dry-run", "-e", "select:a b", stdin=b"{}\n").returncode == 78
    done = run("--dry-run", "nofile")
    assert (done.returncode, b"nofile" in done.stderr) == (66, True)


def test_a_variable_switches_it_on(run: Any, folder: Path) -> None:
    """As every option has one; a paid call would be a bad surprise."""
    done = run("-e", "stages.py:seen", stdin=b"{}\n", env={"STREAMPROC_DRY_RUN": "1"})
    assert b"nothing is called" in done.stdout
    assert not (folder / "seen").exists()
