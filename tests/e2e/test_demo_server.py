"""The demo server's answers, and what stages make of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import records, summary

ROOT = Path(__file__).parent.parent.parent
LEADS = str(ROOT / "streamproc" / "data" / "leads.jsonl")
BULK = """
[[stage]]
name = "contact"
builtin = "leads"

[[stage]]
name = "company"
when = "contact.website.valid"
batch = { size = 50, wait = "1s" }
retry = { attempts = 5, idempotent = true }
http = { url = "URL/v1/bulk", method = "POST", json = { domain = "{contact.website.domain}" } }
"""


@pytest.fixture
def ask(url: str) -> Callable[..., tuple[int, Any]]:
    def request(target: str, body: str | None = None, **headers: str) -> tuple[int, Any]:
        connection = HTTPConnection(url.removeprefix("http://"), timeout=10)
        try:
            connection.request("GET" if body is None else "POST", target, body, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    return request


def domains(folder: Path, count: int) -> str:
    path = folder / "domains.jsonl"
    path.write_text("".join(f'{{"domain":"shop{n}.example.com"}}\n' for n in range(count)))
    return str(path)


def test_answers(ask: Callable[..., tuple[int, Any]]) -> None:
    status, company = ask("/v1/companies/example.com")
    assert status == 200
    assert set(company) == {"domain", "name", "industry", "employees", "country"}
    assert ask("/v1/companies/example.com") == (200, company)
    assert ask("/v1/companies/example.net")[0] == 404
    assert ask("/v1/people/ada@example.com")[1]["company"] == company["name"]
    assert ask("/v1/people/sales%40%40example.net")[0] == 404
    assert ask("/v1/bulk", '[{"domain":"example.com"},{"domain":"example.net"}]') == (
        200,
        [company, None],
    )
    assert ask("/v1/nothing")[0] == 404
    assert ask("/v1/bulk", "no JSON")[0] == 400


def test_sample_leads_by_domain(run: Any, url: str) -> None:
    """`-e leads` finds the domain, the service knows two of the three."""
    stage = f"company={url}/v1/companies/{{enrichment.website.domain}}"
    done = run("-e", "leads", "-e", stage, "--summary", "json", LEADS)
    assert done.returncode == 0, done.stderr
    found = {record["id"]: record.get("company", "skipped") for record in records(done.stdout)}
    assert [found[1]["domain"], found[2]["domain"]] == ["example.com", "example.org"]
    assert found[3] is None
    assert found[5] == found[6] == "skipped"
    assert summary(done.stderr)["requests"] == 3


def test_sample_leads_by_email(run: Any, url: str) -> None:
    """A value from a record is one segment of the path, whatever is in it."""
    done = run("-e", f"person={url}/v1/people/{{email}}", LEADS)
    assert done.returncode == 0, done.stderr
    found = {record["id"]: record.get("person", "skipped") for record in records(done.stdout)}
    assert found[1]["email"] == "ada@example.com"
    assert found[3] is None
    assert found[2] == found[6] == "skipped"


def test_bulk(run: Any, url: str, folder: Path) -> None:
    (folder / "bulk.toml").write_text(BULK.replace("URL", url))
    done = run("-c", "bulk.toml", "--summary", "json", LEADS)
    assert done.returncode == 0, done.stderr
    found = [record.get("company") for record in records(done.stdout)]
    assert [company and company["domain"] for company in found] == [
        "example.com",
        "example.org",
        *[None] * 4,
    ]
    assert summary(done.stderr)["requests"] == 1


def test_flaky(run: Any, url: str, folder: Path) -> None:
    """Ten attempts get all of them through: at 20 % one failed record in 100 000 runs."""
    stage = f"company={url}/flaky/v1/companies/{{domain}}"
    done = run("-e", stage, "--retries", "9", "--summary", "json", domains(folder, 30))
    assert done.returncode == 0, done.stderr
    assert summary(done.stderr)["ok"] == 30


def test_limited(run: Any, url: str, folder: Path) -> None:
    """What is above 20 in a second waits as long as the server says, and is not lost."""
    stage = f"company={url}/limited/v1/companies/{{domain}}"
    done = run("-e", stage, "--summary", "json", domains(folder, 50))
    assert done.returncode == 0, done.stderr
    assert summary(done.stderr)["ok"] == 50


def test_slow(run: Any, url: str, folder: Path) -> None:
    """All at once: one after the other, 64 answers of 200 ms would take 12.8 s."""
    stage = f"company={url}/slow/v1/companies/{{domain}}"
    done = run("-e", stage, "-j", "64", "--summary", "json", domains(folder, 64))
    assert done.returncode == 0, done.stderr
    assert 0.2 <= summary(done.stderr)["seconds"] < 12.8
