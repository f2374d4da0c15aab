"""Which calls have the same key in a cache."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from streamproc.config.load import resolve
from streamproc.enrichers.http_request import RequestBuilder

pytestmark = pytest.mark.forked
CREDENTIALS = [
    'auth = { bearer = "${KEY}" }',
    'auth = { basic = "me:${KEY}" }',
    'auth = { header = "X-Key", value = "${KEY}" }',
    'auth = { header = "X-Other", value = "${KEY}" }',
    'auth = { bearer = "written down" }',
    'headers = { X-Key = "${KEY}" }',
    'headers = { Cookie = "k=${KEY}" }',
    'headers = { Cookie = "k=${KEY}; n={n}" }',
]
URL = 'url = "http://h/x?q={q}"'
DIFFERENT = [
    URL,
    'url = "http://h/y?q={q}"',
    'url = "https://h/x?q={q}"',
    f'{URL}, method = "DELETE"',
    f'{URL}, headers = {{ A = "{{n}}" }}',
    f'{URL}, headers = {{ B = "{{n}}" }}',
    f'{URL}, headers = {{ A = "1" }}',
    f'{URL}, body = "n={{n}}"',
    f'{URL}, form = {{ n = "{{n}}" }}',
    f'{URL}, json = {{ n = "{{n}}" }}',
    f'{URL}, select = "a"',
    f"{URL}, redirects = true",
    f"{URL}, tls = {{ dangerously_accept_any_certificate = true }}",
    f'{URL}, tls = {{ ca = "other.pem" }}',
    f'{URL}, tls = {{ cert = "mine.pem" }}',
]


def key(
    http: str, /, q: str = "1", n: Any = 1, share: Any = "credential", **variables: str
) -> bytes:
    table = tomllib.loads(f"[[stage]]\nname = 'x'\nhttp = {{ {http} }}")
    (stage,) = resolve(table, environment=variables).stage
    assert stage.http is not None
    builder = RequestBuilder(stage.http, "x", shares=share)
    assert builder.problems == []
    call = builder.build({"q": q, "n": n})
    assert call is not None
    return call.key()


@pytest.mark.parametrize("reads", ['retry.when = "body.busy"', 'batch.key = "i"'])
def test_answers_that_are_read_in_another_way_have_other_keys(enrich: Any, reads: str) -> None:
    """What was no good for them, or another record's, is not had from a file."""
    text = """http = { url = "SERVER/bulk", json = { i = "{n}" } }\nbatch.wait = "1s"
        cache.path = "answers.db"\n"""
    for more in ("", reads):
        for asked in (1, 0):
            outcome = enrich(text + more, {"n": 0}, {"n": 1})
            assert [each["i"] for each in outcome.results] == [0, 1]
            assert outcome.counts["requests"] == asked


@pytest.mark.parametrize("credential", CREDENTIALS)
def test_another_credential_has_other_keys(credential: str) -> None:
    """Whoever has not the right one does not get the answers of who had."""
    http = f"{URL}, {credential}"
    assert key(http, KEY="k") == key(http, KEY="k")
    another = http.replace("written down", "another")
    assert key(http, KEY="january") != key(another, KEY="february")


@pytest.mark.parametrize("credential", CREDENTIALS)
def test_a_key_may_have_the_name_of_a_credential(credential: str) -> None:
    """With share = "credential-name"; one that was rotated keeps its answers."""
    http, share = f"{URL}, {credential}", "credential-name"
    assert key(http, share=share, KEY="january") == key(http, share=share, KEY="february")
    another = http.replace("written down", "another")
    assert key(http, share=share, KEY="k") == key(another, share=share, KEY="k")
    if "KEY" in credential:
        other = http.replace("KEY", "OTHER")
        assert key(other, share=share, OTHER="k") != key(http, share=share, KEY="k")


@pytest.mark.parametrize("share", ["credential", "credential-name"])
def test_whoever_trusts_others_has_other_keys(tmp_path: Path, share: str) -> None:
    """What authorities signed is in the file, whatever that is called."""
    ca = tmp_path / "ca.pem"
    keys = set()
    for text in ("ours", "ours", "theirs"):
        ca.write_text(text)
        keys.add(key(f"{URL}, tls = {{ ca = '{ca}' }}", share=share))
    assert len(keys) == 2


def test_each_way_to_send_a_credential_has_keys_of_its_own() -> None:
    keys = {key(f"{URL}, {each}", **{"KEY": "k"} if "KEY" in each else {}) for each in CREDENTIALS}
    assert len(keys) == len(CREDENTIALS)


def test_what_is_asked_differently_has_another_key() -> None:
    keys = [key(http, q, n) for http in DIFFERENT for q in "12" for n in (1, "2")]
    varying = sum("{n}" in http for http in DIFFERENT)
    assert len(set(keys)) == 2 * (len(DIFFERENT) + varying)


def test_a_value_is_never_taken_for_a_variable() -> None:
    """What stands for a credential in a key is a name; a record that says it is another one."""
    http = f'{URL}, headers = {{ A = "${{KEY}}{{n}}" }}'
    share = "credential-name"
    assert key(http, n="1", share=share, KEY="k") == key(http, n="1", share=share, KEY="other")
    written = key(f'{URL}, headers = {{ A = "{{n}}" }}', n="${KEY}1", share=share)
    assert key(http, n="1", share=share, KEY="k") != written


def test_the_order_of_a_query_does_not_matter() -> None:
    there, back = 'url = "http://h/x?a=1&b={n}"', 'url = "http://h/x?b={n}&a=1"'
    assert key(there) == key(back)


def test_the_order_of_equal_names_in_a_query_matters() -> None:
    """A route from Paris to Rome is not one from Rome to Paris."""
    there = 'url = "http://h/x?point=Paris&point={n}&a=1"'
    assert key(there, n="Rome") == key('url = "http://h/x?a=1&point=Paris&point={n}"', n="Rome")
    assert key(there, n="Rome") != key('url = "http://h/x?point={n}&point=Paris&a=1"', n="Rome")
