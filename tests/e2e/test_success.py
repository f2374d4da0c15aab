"""A run that ended well and did nothing says so: what nobody had, what was skipped, 404s."""

import json
from typing import Any

import pytest

from tests.conftest import summary

pytestmark = pytest.mark.forked
LEADS = b"".join(
    json.dumps({"id": n, "email": f"a{n}@example.com", "note": None, "at": {"city": "X"}}).encode()
    + b"\n"
    for n in range(30)
)
WORKERS = pytest.mark.parametrize("workers", ["1", "2"])


def said(done: Any) -> list[str]:
    return [line.removeprefix("streamproc: ") for line in done.stderr.decode().splitlines()]


@WORKERS
@pytest.mark.parametrize(
    ("spec", "line"),
    [
        (
            "company=http://127.0.0.1:9/v1/{idd}",
            'stage company: no record has the field "idd", did you mean "id"?',
        ),
        (
            "company=http://127.0.0.1:9/v1/{at.ctiy}",
            'stage company: no record has the field "at.ctiy", did you mean "at.city"?',
        ),
        ("filter:emial && id", 'stage filter: no record has the field "emial", did you mean '
                               '"email"?'),
        ("select:{n: id, e: emial}", 'stage select: no record has the field "emial", did you '
                                     'mean "email"?'),
        ("filter:note == Bern", 'stage filter: no record has the field "Bern"; a text stands in '
                                "single quotes: 'Bern'"),
        ("select:{e: xyz}", 'stage select: no record has the field "xyz"; there are at, email, id, '
                            'note; --allow-empty if none needs to have it'),
    ],
)  # fmt: skip
def test_a_field_that_nobody_has_is_a_mistake(run: Any, spec: str, line: str, workers: str) -> None:
    """One line that says what was meant, and exit 3; 0 if it is meant so, and for few records."""
    done = run("-w", workers, "-e", spec, stdin=LEADS)
    assert (done.returncode, said(done)) == (3, [line])
    done = run("-w", workers, "-e", spec, "--allow-empty", stdin=LEADS)
    assert (done.returncode, said(done)) == (0, [])


@pytest.mark.parametrize(
    ("spec", "lines"),
    [
        ("filter:emial", ['stage filter: no record has the field "emial", did you mean "email"?']),
        ("filter:xyz", []),
    ],
)
def test_few_records_prove_nothing(run: Any, spec: str, lines: list[str]) -> None:
    """A name that is nearly that of a field is told, and is no failure."""
    few = b"".join(LEADS.splitlines(keepends=True)[:19])
    done = run("-e", spec, stdin=few)
    assert (done.returncode, said(done)) == (0, lines)
    done = run("-e", spec, "--allow-empty", stdin=few)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("spec", [
    "filter:note", "select:{a: id, b: xyz || email}", "filter:!opted_out", "filter:gone == `null`",
    "select:{n: not_null(nick, email)}",
])  # fmt: skip
def test_what_may_be_missing_is_no_mistake(run: Any, spec: str) -> None:
    """A null is no typo, and neither is one of several alternatives or what must not be there."""
    done = run("-e", spec, stdin=LEADS)
    assert (done.returncode, done.stderr) == (0, b"")


def test_one_record_that_has_it_is_enough(run: Any) -> None:
    done = run("-e", "filter:emial", stdin=LEADS + b'{"emial":1}\n')
    assert (done.returncode, done.stderr) == (0, b"")


def test_what_a_stage_before_did_not_give_is_no_mistake(run: Any, folder: Any) -> None:
    """Its result is not there because it was skipped, and that is what is told."""
    (folder / "p.toml").write_text(
        '[[stage]]\nname = "who"\npython = "stages.py:plain"\nwhen = "note"\n'
        '[[stage]]\nname = "then"\nwhen = "who.ok"\npython = "stages.py:plain"\n'
    )
    done = run("-c", "p.toml", stdin=LEADS)
    assert (done.returncode, said(done)) == (
        0,
        [
            "stage who: all 30 records were skipped: `when` is false",
            "stage then: all 30 records were skipped: `when` is false",
        ],
    )


@WORKERS
def test_what_was_skipped_stands_in_both_summaries(run: Any, folder: Any, workers: str) -> None:
    """With the reason, by stage, Python stages included."""
    (folder / "p.toml").write_text(
        '[[stage]]\nname = "who"\npython = "stages.py:plain"\nwhen = "id >= `20`"\n'
        '[[stage]]\nname = "company"\nhttp = { url = "http://127.0.0.1:9/{nick}" }\n'
    )
    lines = LEADS + b'{"id":1,"nick":""}\n'
    done = run("-c", "p.toml", "-w", workers, "--summary", "json", stdin=lines)
    stages = summary(done.stderr)["stages"]
    who, company = stages["who"], stages["company"]
    skipped = "skipped", "skipped_when", "skipped_missing_field"
    assert [who[k] for k in skipped] == [21, 21, 0]
    assert [company[k] for k in skipped] == [31, 0, 31]
    assert (who["calls"], company["calls"]) == (10, 0)
    done = run("-c", "p.toml", "-w", workers, "--summary", "text", "--no-progress", stdin=lines)
    assert done.stderr.decode().endswith(
        "; who: 21 skipped by `when`; company: 31 skipped for want of a field\n"
    )


@WORKERS
def test_a_field_that_no_answer_has_is_a_mistake(run: Any, url: str, workers: str) -> None:
    """As of records; an alternative and one answer that has it are enough."""
    lines = b"".join(b'{"d":"a%d.example.org"}\n' % n for n in range(60))
    stage = ("-w", workers, "-e", f"company={url}/v1/companies/{{d}}", "--set")
    done = run(*stage, "company.http.select=nmae", stdin=lines)
    line = 'stage company: no answer has the field "nmae", did you mean "name"?'
    assert (done.returncode, said(done)) == (3, [line])
    done = run(*stage, "company.http.select=nmae", "--allow-empty", stdin=lines)
    assert (done.returncode, done.stderr) == (0, b"")
    done = run(*stage, "company.http.select=nmae || name", stdin=lines)
    assert (done.returncode, done.stderr) == (0, b"")
