"""`-H`, `-X`, `--json`, `--auth`: an http stage without a pipeline file."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from servers.running import Server

from tests.conftest import records

pytestmark = pytest.mark.forked
LINE = b'{"domain":"example.com","n":12345678901234567890123}\n'
SECRET = "s3cr3t-0xC0FFEE"


@pytest.fixture
def asked(run: Any, server: Server) -> Any:
    """What the server saw of the one request."""

    def ask(*arguments: str) -> dict[str, Any]:
        stage = f"x={server.url}/echo"
        done = run("-e", stage, *arguments, stdin=LINE, env={"API_KEY": SECRET})
        assert (done.returncode, done.stderr) == (0, b"")
        [record] = records(done.stdout)
        seen: dict[str, Any] = record["x"]
        seen["headers"] = {name.lower(): value for name, value in dict(seen["headers"]).items()}
        return seen

    return ask


def test_all_of_them(asked: Any) -> None:
    """Header, method and body are templates; a body makes it a POST; integers stay exact."""
    seen = asked(
        "-H", "X-Domain: {domain}", "-H", "X-B:2", "--json", '{"q": "{domain}", "n": "{n}"}'
    )
    assert seen["method"] == "POST"
    assert (seen["headers"]["x-domain"], seen["headers"]["x-b"]) == ("example.com", "2")
    assert '"n":12345678901234567890123' in seen["body"].replace(" ", "")
    assert asked("-X", "put", "--json", "[]")["method"] == "PUT"


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("bearer:${API_KEY}", f"Bearer {SECRET}"),
        ("ada:p:w", "Basic " + b64encode(b"ada:p:w").decode()),
    ],
)
def test_credentials(asked: Any, given: str, sent: str) -> None:
    """As in curl -u, or a token; `${VAR}` comes from the environment."""
    assert asked("--auth", given)["headers"]["authorization"] == sent


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-H", "A: b"), b"-H: for the one http stage among -e, there are 0"),
        (("-e", "a=http://h/", "-e", "b=http://h/", "--json", "{}"), b"--json: for the one"),
        (("-e", "a=http://h/", "-H", "nothing"), b"expected 'Name: value'"),
        (("-e", "a=http://h/", "--json", "{q}"), b"--json {q}: Expecting"),
        (("-e", "a=http://h/", "--auth", SECRET), b"expected bearer:TOKEN or USER:PASSWORD"),
    ],
)
def test_mistakes(run: Any, arguments: tuple[str, ...], message: bytes) -> None:
    """Exit 2, and no secret is shown."""
    done = run(*arguments, stdin=LINE)
    assert (done.returncode, done.stdout) == (2, b"")
    assert message in done.stderr
    assert SECRET.encode() not in done.stderr


def test_what_may_be_repeated_stands_in_lines_of_a_variable(run: Any, server: Server) -> None:
    """Values have spaces in them: a header, an expression, a table."""
    environment = {
        "STREAMPROC_ENRICH": f"filter:n && n > `1`\nx={server.url}/echo\n",
        "STREAMPROC_HEADER": "X-A: one two\n\nX-B: 3",
        "STREAMPROC_SET": "x.retry={ attempts = 1 }",
    }
    done = run(stdin=b'{"n":1}\n{"n":2}\n', env=environment)
    assert (done.returncode, done.stderr) == (0, b"")
    [record] = records(done.stdout)
    sent = {name.lower(): value for name, value in dict(record["x"]["headers"]).items()}
    assert (record["n"], sent["x-a"], sent["x-b"]) == (2, "one two", "3")


def test_a_literal_secret_is_never_shown(run: Any, folder: Path, server: Server) -> None:
    """Not in errors either, where a server gives it back."""
    stage = f"x={server.url}/echo"
    given = ("--auth", f"bearer:{SECRET}", "--log-level", "debug")
    done = run("-e", stage, "-e", "y=stages.py:nope", *given, stdin=LINE)
    assert done.returncode == 78
    assert SECRET.encode() not in done.stderr
