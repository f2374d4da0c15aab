"""Where credentials go when records name the host."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from streamproc.config.load import resolve
from streamproc.enrichers.http_request import RequestBuilder
from streamproc.errors import RecordError

pytestmark = pytest.mark.forked
CREDENTIALS = [
    'auth = { bearer = "${KEY}" }',
    'auth = { bearer = "s3cret" }',
    'auth = { header = "X-Mine", value = "s3cret" }',
    'headers = { Authorization = "s3cret" }',
    'headers = { Cookie = "s3cret" }',
    'headers = { X-Api-Key = "s3cret" }',
    'headers = { X-Session-Token = "s3cret-{n}" }',
    'headers = { X-Other = "a{n}${KEY}" }',
]
ELSEWHERE = [
    'query = { q = "${KEY}" }',
    'json = { a = ["{n}", "${KEY}"] }',
    'form = { a = "${KEY}{n}" }',
    'body = "{n} ${KEY}"',
    'method = "POST", body = "${KEY}"',
]


def builder(http: str) -> RequestBuilder:
    table = tomllib.loads(f"[[stage]]\nname = 'x'\nhttp = {{ {http} }}")
    (stage,) = resolve(table, environment={"KEY": "s3cret"}).stage
    assert stage.http is not None
    return RequestBuilder(stage.http, "x")


def asked(http: str, host: str) -> Any:
    made = builder(f'url = "https://{{host}}/x", {http}')
    assert made.problems == []
    return made.build({"host": host, "n": 1})


@pytest.mark.parametrize("credential", CREDENTIALS)
def test_headers_go_to_hosts_that_are_named(credential: str) -> None:
    """A wildcard names nobody; `auth_hosts` does, and may have one."""
    plain = 'allow_hosts = ["api.example.com", "*.example.net"]'
    more = plain + ', auth_hosts = ["*.a.example.net"]'
    assert b"s3cret" in asked(f"{credential}, {plain}", "api.example.com").headers
    for hosts, host in [
        (plain, "x.example.net"),
        (plain, "x.a.example.net"),
        (more, "b.example.net"),
    ]:
        headers = asked(f"{credential}, {hosts}", host).headers
        assert b"s3cret" not in headers
        assert b"Accept: application/json\r\n" in headers
    assert b"s3cret" in asked(f"{credential}, {more}", "x.a.example.net").headers


@pytest.mark.parametrize("credential", ELSEWHERE)
def test_what_cannot_be_left_out_is_not_sent_at_all(credential: str) -> None:
    hosts = 'allow_hosts = ["api.example.com", "*.example.net"]'
    assert asked(f"{credential}, {hosts}", "api.example.com") is not None
    with pytest.raises(RecordError, match="auth_hosts") as caught:
        asked(f"{credential}, {hosts}", "x.example.net")
    assert caught.value.kind == "missing_field"


@pytest.mark.parametrize("credential", CREDENTIALS + ELSEWHERE)
def test_credentials_for_nobody_are_a_mistake(credential: str) -> None:
    http = f'url = "{{u}}", allow_hosts = ["*.example.com"], {credential}'
    assert "auth_hosts" in builder(http).problems[0]
    assert builder(http + ', auth_hosts = ["*.example.com"]').problems == []


def test_other_ports_and_schemes_of_a_host_are_not_that_host() -> None:
    http = (
        'auth = { bearer = "s3cret" }, auth_hosts = ["a.example.com"], '
        'allow_hosts = ["http://*.example.com", "*.example.com:8443", "*.example.com"]'
    )
    made = builder(f'url = "{{u}}", {http}')
    for url, goes in [
        ("https://a.example.com/", True),
        ("http://a.example.com/", False),
        ("https://a.example.com:8443/", False),
    ]:
        call = made.build({"u": url})
        assert call is not None
        assert (b"s3cret" in call.headers) == goes


def test_a_host_of_the_pipeline_file_gets_them() -> None:
    made = builder('url = "https://h/{n}", auth = { bearer = "s3cret" }, allow_hosts = ["*.h"]')
    call = made.build({"n": 1})
    assert call is not None
    assert b"s3cret" in call.headers


@pytest.mark.parametrize(
    ("http", "problem"),
    [
        ('auth = { bearer = "${KEY}" }', "auth: not UTF-8"),
        ('auth = { header = "X-Mine", value = "${KEY}" }', "auth: not UTF-8"),
        ('headers = { X-Mine = "a ${KEY}" }', "headers.X-Mine: not UTF-8"),
        ('auth = { basic = "me:${KEY}" }', None),  # its bytes are sent as they are
    ],
)
def test_a_variable_that_is_no_utf8_is_refused_at_the_start(http: str, problem: str | None) -> None:
    table = tomllib.loads(f"[[stage]]\nname='x'\nhttp = {{ url = 'http://h/', {http} }}")
    (stage,) = resolve(table, environment={"KEY": "s3cret-\udcff\udcfe"}).stage
    assert stage.http is not None
    assert RequestBuilder(stage.http, "x").problems == ([] if problem is None else [problem])


@pytest.mark.parametrize("rest", ["headers = {X-Mine='{n}'}", "form = {a='{n}'}", "body = '{n}'"])
def test_half_a_character_of_a_record_gets_into_no_request(rest: str) -> None:
    with pytest.raises(RecordError, match="would get a lone surrogate") as raised:
        builder(f"url = 'http://h/', {rest}").build({"n": "\ud800"})
    assert raised.value.kind == "missing_field"
