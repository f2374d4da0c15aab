"""Which calls have the same key in a cache."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from streamproc.config.load import resolve
from streamproc.enrichers.http_request import RequestBuilder

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
]


def key(http: str, /, q: str = "1", n: Any = 1, **variables: str) -> bytes:
    table = tomllib.loads(f"[[stage]]\nname = 'x'\nhttp = {{ {http} }}")
    (stage,) = resolve(table, environment=variables).stage
    assert stage.http is not None
    builder = RequestBuilder(stage.http, "x")
    assert builder.problems == []
    call = builder.build({"q": q, "n": n})
    assert call is not None
    return call.key()


@pytest.mark.parametrize("credential", CREDENTIALS)
def test_a_key_has_the_name_of_a_credential_and_not_its_value(credential: str) -> None:
    http = f"{URL}, {credential}"
    assert key(http, KEY="january") == key(http, KEY="february")
    assert key(http, KEY="k") == key(http.replace("written down", "another"), KEY="k")
    if "KEY" in credential:
        other = http.replace("KEY", "OTHER")
        assert key(other, OTHER="january") != key(http, KEY="january")


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
    assert key(http, n="1", KEY="k") == key(http, n="1", KEY="other")
    assert key(http, n="1", KEY="k") != key(f'{URL}, headers = {{ A = "{{n}}" }}', n="${KEY}1")


def test_the_order_of_a_query_does_not_matter() -> None:
    there, back = 'url = "http://h/x?a=1&b={n}"', 'url = "http://h/x?b={n}&a=1"'
    assert key(there) == key(back)
