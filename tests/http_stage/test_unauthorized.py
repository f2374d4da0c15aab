"""A credential that a target refuses ends the run, before the whole input has failed of it."""

import json
from typing import Any

import pytest
from servers.running import Server

from tests.conftest import records

pytestmark = pytest.mark.forked
STAGE = 'http = { url = "SERVER/status/{s}?n={n}" }'
THIRTY = [{"n": n, "s": 401} for n in range(30)]


def test_ten_records_end_the_run(enrich: Any, server: Server) -> None:
    """It says what to do, nobody is asked much longer, and none of them has failed."""
    outcome = enrich(STAGE, *THIRTY, args=("-j", "4"))
    assert outcome.code == 77
    assert (outcome.counts["failed"], outcome.counts["unprocessed"]) == (0, 30)
    assert 10 <= server.stats()["total"] <= 14
    (line,) = [each for each in outcome.stderr.decode().splitlines() if "answered 401" in each]
    assert line.startswith(
        f"streamproc: x: {server.url}: the first 10 records were all answered 401: GET {server.url}"
    )
    assert "check the credential (auth, headers) and start again" in line
    assert line.endswith("--keep-going")


def test_with_workers(enrich: Any) -> None:
    """Each of them counts for itself."""
    outcome = enrich(STAGE, *THIRTY, args=("-w", "2"))
    assert outcome.code == 77
    assert b"were all answered 401" in outcome.stderr
    assert outcome.counts["unprocessed"] >= 1


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_resume_has_them_again(
    run: Any, pipeline: Any, folder: Any, server: Server, workers: str
) -> None:
    """With the right credential nothing is missing, as if it had been right at once."""
    name = pipeline('http = { url = "SERVER/status/${CODE}?n={n}" }')
    (folder / "in.jsonl").write_text("".join(f'{{"n":{n}}}\n' for n in range(100)))
    args = ("-c", name, "--checkpoint", "run.checkpoint", "--resume", "-o", "out.jsonl",
            "--summary", "json", "-w", workers, "in.jsonl")  # fmt: skip
    first = run(*args, env={"CODE": "401"})
    assert first.returncode == 77
    second = run(*args, env={"CODE": "200"})
    assert second.returncode == 0
    out = records((folder / "out.jsonl").read_bytes())
    assert [record["n"] for record in out] == list(range(100))
    if workers == "1":
        assert not [record for record in out if "_error" in record]


@pytest.mark.parametrize(
    ("given", "failed"),
    [
        (THIRTY[:9], 9),
        ([{"n": -1, "s": 200}, *THIRTY], 30),
        ([*THIRTY[:9], {"n": -1, "s": 404}, *THIRTY[9:]], 30),
        ([{"n": -1, "s": 403}, *THIRTY], 31),
    ],
    ids=["too few", "one is answered", "the tenth is answered", "refused otherwise"],
)
def test_else_they_fail_like_others(enrich: Any, given: Any, failed: int) -> None:
    outcome = enrich(STAGE, *given, args=("-j", "1"))
    assert outcome.code == 3
    assert (outcome.counts["failed"], outcome.counts["unprocessed"]) == (failed, 0)
    assert [record["n"] for record in outcome.out] == [record["n"] for record in given]


@pytest.mark.parametrize(("status", "args"), [(401, ["--keep-going"]), (403, [])])
def test_a_message_only(enrich: Any, server: Server, status: int, args: list[str]) -> None:
    given = [record | {"s": status} for record in THIRTY]
    outcome = enrich(STAGE, *given, args=tuple(args))
    assert (outcome.code, outcome.counts["failed"]) == (3, 30)
    message = f"x: {server.url}: the first 10 records were all answered {status}: GET "
    (line,) = [each for each in outcome.stderr.decode().splitlines() if message in each]
    assert line.startswith("streamproc: warning: ")
    assert line.endswith("check the credential")


@pytest.mark.parametrize(
    "text",
    [
        'http = { url = "SERVER/status/401", headers = { Authorization = "Bearer {n}" } }',
        'http = { url = "SERVER/status/401", query = { api_key = "{n}" } }',
        'http = { url = "SERVER/status/401?token={token}" }',
    ],
)
def test_credentials_of_records_are_theirs(enrich: Any, text: str) -> None:
    outcome = enrich(text, *[record | {"token": "t"} for record in THIRTY])
    assert (outcome.code, outcome.counts["failed"]) == (3, 30)


def test_where_another_one_answers_nobody_fails(enrich: Any) -> None:
    outcome = enrich(f"{STAGE}\nfallback = [{{ value = 1 }}]", *THIRTY)
    assert (outcome.code, outcome.counts["ok"]) == (0, 30)


def test_one_of_several_sources(enrich: Any) -> None:
    text = (
        '[[stage]]\nname = "x"\nall = [\n'
        '  { name = "good", http = { url = "SERVER/status/200?n={n}" } },\n'
        '  { name = "bad", http = { url = "SERVER/status/401?n={n}" } },\n'
        "]"
    )
    outcome = enrich(text, *THIRTY, args=("-j", "4"))
    assert (outcome.code, outcome.counts["failed"]) == (77, 0)


def test_lists_and_caches(enrich: Any, server: Server) -> None:
    """All records of a list are answered by its answer."""
    text = (
        'cache = "1h"\nbatch = { size = 10, wait = "1s" }\n'
        'http = { url = "SERVER/status/401", json = { n = "{n}" } }'
    )
    outcome = enrich(text, *THIRTY, args=("-j", "1"))
    assert (outcome.code, outcome.counts["failed"]) == (77, 0)
    assert server.stats()["total"] <= 2


def test_a_slow_input_does_not_wait_for_ten(start: Any, pipeline: Any) -> None:
    """Who types records sees each of them fail; the tenth ends the run."""
    process = start("-c", pipeline(STAGE))
    process.stdin.write(b'{"n":1,"s":401}\n')
    assert json.loads(process.stdout.readline())["_error"]["status"] == 401
    process.stdin.write(b'{"n":1,"s":401}\n' * 9)
    assert process.wait() == 77
