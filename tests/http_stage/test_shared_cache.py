"""A cache in a file is shared by runs that may not share everything."""

from __future__ import annotations

import json
import resource
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from servers.running import Server

from tests.conftest import records

pytestmark = pytest.mark.forked


def test_a_wrong_key_gets_no_answers_of_the_right_one(enrich: Any, server: Server) -> None:
    text = 'http = { url = "SERVER/ok", auth = { bearer = "${KEY}" } }\ncache = { path = "c.db" }'
    for key, requests in [("right", 1), ("right", 1), ("wrong", 2)]:
        assert enrich(text, KEY=key).code == 0
        assert server.stats()["total"] == requests


def test_what_was_not_verified_is_not_served_to_who_verifies(enrich: Any, server: Server) -> None:
    text = f'http = {{ url = "{server.tls_url("expired")}/ok", TLS }}\ncache = {{ path = "c.db" }}'
    careless = text.replace("TLS", "tls = { dangerously_accept_any_certificate = true }")
    careful = text.replace("TLS", f'tls = {{ ca = "{server.ca_file}" }}')
    assert enrich(careless).code == 0
    outcome = enrich(careful)
    assert outcome.errors[0]["kind"] == "tls"


def test_functions_of_one_name_do_not_share_answers(run: Any, folder: Path) -> None:
    """Neither two functions, nor two versions of one."""
    (folder / "p.toml").write_text(
        '[[stage]]\nname = "x"\npython = "s.py:FUNCTION"\ncache = { path = "c.db" }'
    )
    found = []
    # of different lengths: Python takes a file of the same second and size for the same
    for source, name in [("1", "f"), ("1", "g"), ("22", "f"), ("22", "f")]:
        (folder / "s.py").write_text(
            f"def f(record):\n    open('calls', 'a').write('.')\n    return 'f{source}'\n"
            f"def g(record):\n    open('calls', 'a').write('.')\n    return 'g{source}'\n"
        )
        text = (folder / "p.toml").read_text().replace("FUNCTION", name)
        (folder / "q.toml").write_text(text)
        done = run("-c", "q.toml", stdin=b'{"n":1}\n')
        assert done.returncode == 0, done.stderr
        found.append(json.loads(done.stdout)["x"])
    assert found == ["f1", "g1", "f22", "f22"]
    assert (folder / "calls").read_text() == "..."


def test_functions_that_a_function_has_made_do_not_share_answers(run: Any, folder: Path) -> None:
    """Nor do objects of one class, nor those of which another file says what they are."""
    (folder / "lib.py").write_text(
        "class Adder:\n"
        "    def __init__(self, n):\n        self.n = n\n"
        "    def __call__(self, record):\n        return self.n\n"
    )
    found = []
    for third, name in [(3, "f"), (3, "g"), (3, "a"), (3, "b"), (33, "b"), (33, "b")]:
        (folder / "s.py").write_text(
            "from lib import Adder\n"
            "def made(n):\n    return lambda record: n\n"
            f"f, g, a, b = made(0), made(1), Adder(2), Adder({third})\n"
        )
        (folder / "p.toml").write_text(
            f'[[stage]]\nname = "x"\npython = "s.py:{name}"\ncache = {{ path = "c.db" }}'
        )
        done = run("-c", "p.toml", stdin=b'{"n":1}\n')
        assert done.returncode == 0, done.stderr
        found.append(json.loads(done.stdout)["x"])
    assert found == [0, 1, 2, 3, 33, 33]


def test_an_answer_that_was_damaged_is_asked_for_again(enrich: Any, folder: Path) -> None:
    """No record fails of what somebody has written into the file."""
    text = 'http = { url = "SERVER/ok" }\ncache = { path = "c.db" }'
    assert [each["n"] for each in enrich(text).results] == [1]
    with closing(sqlite3.connect(folder / "c.db", isolation_level=None)) as database:
        database.execute("UPDATE kept SET value = ?", (b"{oops",))
    for _ in range(2):
        assert [each["n"] for each in enrich(text).results] == [2]


def test_a_cache_in_a_file_has_a_limit(enrich: Any, folder: Path) -> None:
    text = """http = { url = "SERVER/large?bytes=50000&n={n}" }
    cache = { path = "c.db", max_bytes = "1MiB" }"""
    assert enrich(text, *[{"n": n} for n in range(100)]).code == 0
    assert (folder / "c.db").stat().st_size <= 1.1 * 2**20


def test_a_cache_without_room_costs_no_answer(run: Any, server: Server, folder: Path) -> None:
    """What was paid for goes to its record; one line says that nothing is kept any more."""
    url = f"{server.url}/large?bytes=5000&n={{n}}"
    (folder / "p.toml").write_text(
        f'[[stage]]\nname = "x"\nhttp = {{ url = "{url}" }}\ncache = {{ path = "c.db" }}\n'
    )

    def without_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    lines = b"".join(b'{"n":%d}\n' % n for n in range(200))
    done = run("-c", "p.toml", stdin=lines, preexec_fn=without_room)
    assert done.returncode == 0, done.stderr
    assert len(records(done.stdout)) == server.stats()["total"] == 200
    assert all("_error" not in each for each in records(done.stdout))
    assert done.stderr.count(b"c.db: the cache failed, nothing is kept any more") == 1
