"""Secrets that stand in the pipeline file, or in an address, are never shown."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from streamproc.config.masking import masked
from tests.conftest import records

pytestmark = pytest.mark.forked
LITERALS = [f"literal-{name}-0xC0FFEE" for name in ("a", "b", "c", "d", "e", "f", "g", "h")]
A, B, C, D, E, F, G, H = LITERALS
PIPELINE = f"""
[[stage]]
name = "x"
fallback = [{{ http = {{ url = "http://127.0.0.1:1/", auth = {{ basic = "me:{A}" }} }} }}]
[stage.http]
url = "http://127.0.0.1:1/x?api_key={B}&page=first-page"
query = {{ access_token = "{C}", sort = "by-name", key = "{{user.key}}" }}
headers = {{ Authorization = "Bearer {D}", X-Trace = "trace-me", Cookie = "sid={E}" }}
auth = {{ header = "X-Api", value = "{F}" }}
json = {{ inner = [{{ client_secret = "{G}", n = "{{n}}" }}], password = "${{PASS}}" }}
method = "POST"

[sink.kafka]
brokers = "localhost:1"
topic = "t"
properties = {{ "sasl.password" = "{H}", "client.id" = "me" }}
"""


def test_check_shows_no_literal_secret(run: Any, folder: Path) -> None:
    """What its name tells is a secret is not printed; all else is as it was written."""
    (folder / "p.toml").write_text(PIPELINE)
    done = run("check", "-c", "p.toml", env={"PASS": "from-the-environment"})
    assert done.returncode == 0, done.stderr
    shown = done.stdout.decode()
    assert [each for each in [*LITERALS, "from-the-env"] if each in shown + str(done.stderr)] == []
    http = tomllib.loads(shown)["stage"][0]["http"]
    assert http["url"] == "http://127.0.0.1:1/x?api_key=***&page=first-page"
    assert http["query"] == {"access_token": "***", "sort": "by-name", "key": "{user.key}"}
    assert http["headers"]["X-Trace"] == "trace-me"
    assert http["json"] == {
        "inner": [{"client_secret": "***", "n": "{n}"}], "password": "${PASS}",
    }  # fmt: skip


OPTIONS = """
[observers.example]
api_token = "SECRET"
[[stage]]
name = "x"
python = "s.py:look"
options = { api_key = "SECRET", more = { password = "SECRET" }, model = "shown" }
"""


def test_options_are_masked_by_their_names(run: Any, folder: Path) -> None:
    """Those of functions and of plugins, in what `check` prints and in reports."""
    (folder / "s.py").write_text(
        "def look(record, *, api_key: str, more: dict, model: str):\n    return {'x': 1}\n"
    )
    table = OPTIONS.partition("[[stage]]")[2].replace("SECRET", A)
    (folder / "p.toml").write_text("[[stage]]" + table)
    done = run("check", "-c", "p.toml")
    assert done.returncode == 0, done.stderr
    options = tomllib.loads(done.stdout.decode())["stage"][0]["options"]
    assert options == {"api_key": "***", "more": {"password": "***"}, "model": "shown"}
    assert run("-c", "p.toml", "--report", "r.html", stdin=b"{}\n").returncode == 0
    assert A not in (folder / "r.html").read_text()
    shown = masked(tomllib.loads(OPTIONS), lambda text: text.lower())
    assert shown["observers"]["example"] == {"api_token": "secret"}


@pytest.mark.parametrize("key", ["auth", "headers", "query"])
def test_a_text_in_the_place_of_a_table_is_not_shown(run: Any, folder: Path, key: str) -> None:
    (folder / "p.toml").write_text(
        f'[[stage]]\nname = "x"\nhttp = {{ url = "http://127.0.0.1:1/", {key} = "{A}" }}\n'
    )
    done = run("check", "-c", "p.toml")
    assert (done.returncode, A.encode() in done.stderr) == (78, False)
    assert f"stage[0].http.{key}: expected table, got a text".encode() in done.stderr


NESTED = """
import dataclasses, os, streamproc

@dataclasses.dataclass
class Sent:
    key: str

def fail(record):
    key = os.environ["API_KEY"]
    raise streamproc.RecordError(
        "exception", key, deep={"a": [{key: [key]}], "b": Sent(key)}, odd=[{1, key}], plain=key
    )
async def nested(record):
    fail(record)
"""


@pytest.mark.parametrize("workers", [(), ("-w", "2")])
def test_no_detail_of_an_error_has_a_secret(
    run: Any, folder: Path, workers: tuple[str, ...]
) -> None:
    """However deep it is, in annotations, in dead letters and for each of several sources."""
    (folder / "nested.py").write_text(NESTED)
    (folder / "p.toml").write_text(
        '[[stage]]\npython = "nested.py:fail"\nwhen = "one && x != \'${API_KEY}\'"\n'
        '[[stage]]\nall = [{ name = "s", python = "nested.py:nested" }]\nwhen = "also"\n'
    )
    env = {"API_KEY": "s3cr3t-0xC0FFEE"}
    stdin = b'{"one":1}\n{"also":1}\n'
    done = run("-c", "p.toml", *workers, stdin=stdin, env=env)
    assert done.returncode == 3
    assert b"C0FFEE" not in done.stdout + done.stderr
    error = records(done.stdout)[0]["_error"]
    assert error["message"] == error["plain"] == "***"

    letters = ("--on-error", "dead-letter", "--dead-letter", "dead")
    assert run("-c", "p.toml", *letters, *workers, stdin=stdin, env=env).returncode == 3
    dead = (folder / "dead").read_bytes()
    assert b"sources" in dead
    assert b"C0FFEE" not in dead


@pytest.mark.parametrize("arguments", [("IN",), ("-o", "IN"), ("--dead-letter", "IN")])
def test_a_password_in_a_kafka_address_is_refused_unseen(run: Any, arguments: Any) -> None:
    """There is none in such an address: it is said where it belongs, without repeating it."""
    given = [each.replace("IN", "kafka://me:PW@127.0.0.1:1/topic") for each in arguments]
    done = run(*given, stdin=b"{}\n")
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)
    assert b"PW" not in done.stdout + done.stderr
    assert b"sasl.password" in done.stderr


def test_a_password_in_brokers_is_refused_unseen(run: Any, folder: Path) -> None:
    """In the pipeline file as well."""
    table = 'kafka = { brokers = "me:PW@127.0.0.1:1", topics = ["t"] }'
    (folder / "p.toml").write_text(f"[source]\n{table}\n")
    for command in (("-c", "p.toml"), ("check", "-c", "p.toml")):
        done = run(*command)
        assert (done.returncode, b"PW" in done.stdout + done.stderr) == (78, False)
        assert b"source.kafka: brokers: no user and password" in done.stderr


def test_an_address_with_a_password_is_shown_without(run: Any, folder: Path) -> None:
    """Wherever it comes from: a record, a setting, user code."""
    (folder / "stage.py").write_text(
        "def f(record):\n    raise OSError('cannot reach https://me:PW@example.com/x?y')\n"
    )
    done = run("-e", "stage.py:f", stdin=b"{}\n")
    message = records(done.stdout)[0]["_error"]["message"]
    assert message == "OSError: cannot reach https://***@example.com/x?y"


def test_a_literal_that_a_service_echoes_is_hidden(run: Any, folder: Path) -> None:
    """As if it had come from the environment; short words are not."""
    (folder / "stage.py").write_text(f"def f(record):\n    raise OSError('{D} {F} by-name')\n")
    more = '[[stage]]\npython = "stage.py:f"\n'
    (folder / "p.toml").write_text(more + PIPELINE.partition("[sink")[0])
    done = run("-c", "p.toml", stdin=b"{}\n", env={"PASS": "from-the-environment"})
    assert records(done.stdout)[0]["_error"]["message"] == "OSError: *** *** by-name"
