"""`streamproc test`: the real pipeline, scripted answers, no time."""

from __future__ import annotations

import re
import socket
import tomllib
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.forked
PIPELINE = """
output = "out.jsonl"
dead_letter = "dead.jsonl"
on_error = "annotate"
checkpoint = "cp"
workers = 4
limit = 1

[[stage]]
name = "company"
when = "domain"
http = { url = "http://127.0.0.1:1/v1/{domain}", auth = { bearer = "${API_KEY}" }, \
select = "data" }
cache = { ttl = "1h", path = "cache.db" }
breaker = { max_wait = "2h" }
retry = { attempts = 3 }
"""
FALLBACK = 'fallback = [ { value = "nobody knows" } ]\n'
FIRST = """
[[test]]
name = "the one"
pipeline = "p.toml"
env = { API_KEY = "sekret" }
"""


class Files:
    """A pipeline file with its tests, in a folder."""

    def __init__(self, run: Any, folder: Path) -> None:
        self.folder = folder
        self._run = run
        self.pipeline(PIPELINE)

    def pipeline(self, text: str) -> None:
        (self.folder / "p.toml").write_text(text)

    def test(self, text: str, *options: str, **more: Any) -> tuple[int, str, str]:
        """Code, stdout and stderr of `streamproc test` on a file with that text."""
        (self.folder / "t.toml").write_text(text)
        done = self._run("test", "t.toml", *options, **more)
        assert b"Traceback" not in done.stderr
        return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.fixture
def files(run: Any, folder: Path) -> Files:
    return Files(run, folder)


def test_what_is_said_of_tests_that_pass(files: Files) -> None:
    """One line for each, and how many there were."""
    text = (
        FIRST
        + """
input = [ { id = 1, domain = "b.com" }, { id = 2 }, '{"id":3,"domain":null}' ]
answers.company = [ { when = "path == '/v1/b.com' && headers.authorization == 'Bearer sekret'", \
json = { data = { name = "B" } } } ]
expect = [ { id = 1, domain = "b.com", company = { name = "B" } }, { id = 2 }, \
'{"domain":null,"id":3}' ]
expect_calls = { company = 1 }
"""
    )
    said = "passed  t.toml:2: the one\n1 passed\n"
    assert files.test(text) == (0, said, "")


def test_what_is_said_of_tests_that_fail(files: Files) -> None:
    """Member by member, what was expected (-) and what came (+); the exit code is 3."""
    text = FIRST + """
input = [ { id = 1, domain = "b.com" }, { id = 2 } ]
answers.company = [ { json = { data = { name = "B", tags = [1, 2] } } } ]
expect = [ { id = 1, domain = "b.com", company = { name = "b", tags = [1, true] }, x = 1 } ]
expect_calls = { company = 2 }
""" + FIRST.replace("the one", "the other") + "input = []\nexpect = []\n"  # fmt: skip
    code, out, _ = files.test(text)
    assert out.splitlines() == [
        "failed  t.toml:2: the one",
        "        calls of company",
        "          - 2",
        "          + 1",
        "        record 1: company.name",
        '          - "b"',
        '          + "B"',
        "        record 1: company.tags[1]",
        "          - true",
        "          + 2",
        "        record 1: x",
        "          - 1",
        "        record 2",
        '          + {"id":2}',
        "passed  t.toml:12: the other",
        "1 failed, 1 passed",
    ]
    assert code == 3


def test_policies_are_real_and_time_is_not(files: Files) -> None:
    """An hour of Retry-After, a timeout, attempts, one call for two records that ask the same."""
    text = (
        FIRST
        + """
input = [ { domain = "a" }, { domain = "a" }, { domain = "b" }, { domain = "c" } ]
answers.company = [
    { when = "path == '/v1/a'", status = 503, headers = { Retry-After = "3600" } },
    { when = "path == '/v1/a'", json = { data = "A" } },
    { when = "path == '/v1/b'", error = "timeout" },
    { when = "path == '/v1/b'", error = "reset" },
    { when = "path == '/v1/b'", after = "20s", json = { data = "B" } },
    { when = "path == '/v1/c'", status = 500, body = "no" },
]
expect = [
    { domain = "a", company = "A" },
    { domain = "a", company = "A" },
    { domain = "b", company = "B" },
    { domain = "c", _error = { kind = "http_status", status = 500, attempts = 3 } },
]
expect_calls = { company = 8 }
"""
    )
    code, out, _ = files.test(text)
    assert (code, out) == (0, "passed  t.toml:2: the one\n1 passed\n")


def test_an_answer_expires_in_simulated_time(files: Files) -> None:
    """What was kept for an hour is asked for again after two."""
    files.pipeline("""
[[stage]]
name = "slow"
into = "."
python = "stages.py:slow"
timeout = "9h"
[[stage]]
name = "again"
http = { url = "http://127.0.0.1:1/{id}" }
cache = "1h"
""")
    text = (
        FIRST
        + """
input = [ { id = 1, s = 0 }, { id = 1, s = 1800 }, { id = 1, s = 7200 } ]
answers.again = [ { json = 1 }, { json = 2 } ]
expect = [
    { id = 1, s = 0, ok = true, again = 1 },
    { id = 1, s = 1800, ok = true, again = 1 },
    { id = 1, s = 7200, ok = true, again = 2 },
]
"""
    )
    assert files.test(text)[:2] == (0, "passed  t.toml:2: the one\n1 passed\n")


def test_a_call_that_no_answer_is_for(files: Files) -> None:
    """It fails the test, also where a fallback makes up for it."""
    files.pipeline(PIPELINE + FALLBACK)
    text = (
        FIRST
        + """
input = [ { domain = "a" }, { domain = "b" } ]
answers.company = [ { when = "path == '/v1/a'", json = { data = 1 } } ]
expect = [ { domain = "a", company = 1 }, { domain = "b", company = "nobody knows" } ]
"""
    )
    code, out, _ = files.test(text)
    assert re.search(r"^        unexpected call of company: GET http://\S+/v1/b$", out, re.M)
    assert (code, out.count("\n")) == (3, 3)


def test_nothing_outside_is_touched(files: Files) -> None:
    """No connection, no output, dead letters, checkpoint, cache file or worker."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        files.pipeline(PIPELINE.replace(":1/", f":{server.getsockname()[1]}/"))
        before = {each.name for each in files.folder.iterdir()} | {"t.toml"}
        text = (
            FIRST
            + """
input = [ { domain = "a" }, 'nope' ]
answers.company = [ { json = { data = 1 } } ]
expect = [ { domain = "a", company = 1 }, { _error = { kind = "malformed" } } ]
"""
        )
        assert files.test(text)[0] == 0
        with pytest.raises(BlockingIOError):
            server.accept()
    assert {each.name for each in files.folder.iterdir()} == before


def test_mistakes_have_their_lines(files: Files) -> None:
    """All of them at once, in all files, before any test runs: 78."""
    text = """
top = 1
[[test]]
name = "one"
pipeline = "p.toml"
env = { API_KEY = "x" }
input = [ 3 ]
answers.compny = [ { json = 1 } ]
answers.company = [
    { json = 1, body = "x" },
    { error = "bar", statsu = 3 },
]
expect_calls = { nobody = 1 }
expect = [ "nope" ]

# a comment about [[test]]
[[test]]
pipline = "p.toml"
input = "nofile"

[[test]]
name = '''
[[test]]
'''
pipeline = "q.toml"
input = []
""".lstrip()
    (files.folder / "u.toml").write_text("[[stage]]\n")
    (files.folder / "q.toml").write_text('[[stage]]\npython = "stages.py:nobody"\n')
    (files.folder / "bad.toml").write_text("[[test]\n")
    code, out, err = files.test(text, "u.toml", "nofile.toml", "bad.toml")
    found = [line.removeprefix("streamproc: ") for line in err.splitlines()]
    assert [each for each in found if each.startswith("t.toml:2:")] == []
    expected = (
        "t.toml:1: top: ",
        "t.toml:6: test 'one': input: expected a record, as a table or text, got 3",
        "t.toml:7: test 'one': answers: no stage 'compny' in p.toml, did you mean company?",
        "t.toml:8: test 'one': answers.company[0]: expected one of json, body and error",
        "t.toml:8: test 'one': answers.company[1].statsu: unknown key, did you mean status?",
        "t.toml:12: test 'one': expect_calls: no stage 'nobody' in p.toml",
        "t.toml:13: test 'one': expect: not the JSON of a record: ",
        "t.toml:17: test 2: pipline: unknown key, did you mean pipeline?",
        "t.toml:16: test 2: name is missing",
        "t.toml:24: test '[[test]]\\n': q.toml: stage[0]: stages.py:nobody: ",
        "u.toml: no [[test]] in it: this is a pipeline file",
        "nofile.toml: No such file or directory",
        "bad.toml: not valid TOML: ",
    )
    missing = [each for each in expected if not any(line.startswith(each) for line in found)]
    assert missing == []
    assert (code, out) == (78, "")


def test_an_input_that_is_called_test(run: Any, folder: Path) -> None:
    """It is read as ./test, and who forgets that is told."""
    (folder / "test").write_text('{"n":1}\n')
    done = run("test")
    assert done.returncode == 2
    assert b"expected: streamproc test FILE...; to read the file: streamproc ./test" in done.stderr
    assert run("./test", "-e", "none").stdout == b'{"n":1}\n'


def test_a_variable_that_is_not_set(files: Files) -> None:
    """A test needs no secrets of the environment: it can have its own."""
    text = FIRST.replace('env = { API_KEY = "sekret" }', "input = []\nexpect = []")
    code, _, err = files.test(text)
    assert (code, "t.toml:4: test 'the one': p.toml: stage[0].http.auth" in err) == (78, True)
    assert 'give it one: env = { NAME = "value" }' in err
    assert files.test(text, env={"API_KEY": "x"})[0] == 0


def test_how_a_run_ends(files: Files) -> None:
    """What ends it early fails the test, unless that is expected."""
    files.pipeline(PIPELINE.replace('breaker = { max_wait = "2h" }\n', ""))
    text = (
        FIRST
        + """
input = [ { domain = "a" } ]
answers.company = [ { status = 429, headers = { Retry-After = "3600" } } ]
expect_calls = { company = 1 }
"""
    )
    code, out, _ = files.test(text)
    assert (code, "        ended with exit code 69: company: " in out) == (3, True)
    assert files.test(f"{text}expect_exit_code = 69\n")[0] == 0
    code, out, _ = files.test(f"{text}expect_exit_code = 0\n")
    assert (code, "        exit code\n          - 0\n          + 69\n" in out) == (3, True)


def test_a_test_that_expects_nothing(files: Files) -> None:
    """It would pass whatever happens."""
    code, out, _ = files.test(FIRST + "input = []\n")
    assert (code, "it expects nothing: add expect" in out) == (3, True)


def test_files_for_input_and_expect(files: Files, run: Any) -> None:
    """Beside the test file, wherever the command runs."""
    tests = files.folder / "tests"
    tests.mkdir()
    (tests / "in.jsonl").write_text('\ufeff{"id":1,"domain":"a"}\r\n\n{"id":2}')
    (tests / "out.jsonl").write_text('{"id":1,"domain":"a","company":1}\n{"id":2}\n')
    (tests / "t.toml").write_text(
        FIRST.replace("p.toml", "../p.toml")
        + """
input = "in.jsonl"
answers.company = [ { json = { data = 1 } } ]
expect = "out.jsonl"
"""
    )
    assert run("test", "tests/t.toml").returncode == 0
    (tests / "in.jsonl").write_text('{"id":5,"t":"\u2028"}\n')
    assert run("test", "tests/t.toml").returncode == 3
    assert run("test", "tests/t.toml", "--update").returncode == 0
    assert (tests / "out.jsonl").read_text() == '{"id":5,"t":"\u2028"}\n'
    assert run("test", "tests/t.toml").returncode == 0


def test_update_rewrites_expect_and_nothing_else(files: Files) -> None:
    """Comments and order stay; what TOML cannot say is JSON; of errors what does not change."""
    text = """# of companies

[[test]]   # the first
name = "the one"
expect = [ 1 ]   # an old one
pipeline = "p.toml"
env = { API_KEY = "x" }
input = ['{"id":1,"n":null,"s":"it''s"}', { id = 2, domain = "a" }, "nope", '{"id":3,"n":1e2}']
[[test.answers.company]]
json = { data = [1, {a = 'x"y'}] }

# the second passes, and stays as it is
[[test]]
name = "the other"
pipeline = "p.toml"
env = { API_KEY = "x" }
input = [ "nope" ]
expect = [ {_error={kind="malformed"}} ]
""".replace("it''s", "its")  # fmt: skip
    code, out, _ = files.test(text, "--update")
    updated = (files.folder / "t.toml").read_text()
    assert (code, out) == (
        0,
        "updated t.toml:3: the one\npassed  t.toml:13: the other\n1 updated, 1 passed\n",
    )
    kept = [line for line in text.splitlines() if "an old one" not in line]
    assert [line for line in updated.splitlines() if line in kept] == kept
    assert "# an old one" in updated
    assert tomllib.loads(updated)["test"][0]["expect"] == [
        '{"id":1,"n":null,"s":"its"}',
        {"id": 2, "domain": "a", "company": [1, {"a": 'x"y'}]},
        {"_error": {"stage": "decode", "kind": "malformed"}},
        {"id": 3, "n": 100.0},
    ]
    assert files.test(updated)[:2] == (
        0,
        re.sub("updated t.toml:3", "passed  t.toml:3", out)
        .replace("1 updated, 1 passed", "2 passed")
        .replace("t.toml:13", f"t.toml:{line_of(updated, 2)}"),
    )
    assert files.test(updated, "--update")[0] == 0
    assert (files.folder / "t.toml").read_text() == updated


def line_of(text: str, test: int) -> int:
    """Where the header of a test stands."""
    lines = text.splitlines()
    return [n for n, line in enumerate(lines, 1) if line.startswith("[[test]]")][test - 1]


def test_update_adds_expect_where_there_is_none(files: Files) -> None:
    """Into its own table, also when others follow in it."""
    text = (
        FIRST
        + """input = [ { id = 1, domain = "a" } ]
[[test.answers.company]]
json = { data = 1 }
"""
    )
    assert files.test(text, "--update")[0] == 0
    (table,) = tomllib.loads((files.folder / "t.toml").read_text())["test"]
    assert table["expect"] == [{"id": 1, "domain": "a", "company": 1}]
    assert files.test((files.folder / "t.toml").read_text())[0] == 0


def test_update_does_not_expect_a_mistake(files: Files) -> None:
    """A call that no answer is for is none of what should come out."""
    text = FIRST + 'input = [ { domain = "a" } ]\nexpect = []\n'
    assert files.test(text, "--update")[0] == 3
    assert (files.folder / "t.toml").read_text() == text
