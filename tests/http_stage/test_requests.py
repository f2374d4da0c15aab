"""What is asked of a service, and what its answer becomes."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

import pytest
from servers.running import Server

from streamproc import __version__

pytestmark = pytest.mark.forked
ECHO = 'http.url = "SERVER/echo"\n'
ASCII = [f"a{chr(code)}b" for code in range(128)]
ODD = [
    *ASCII,
    *[chr(code) for code in range(128) if chr(code) not in "./\\"],
    "é", "日本語", "🦊", "e\u0301", "a\u2028b", "\u202e", "\ufeff", "%2e%2e", "%", "%zz", "a%2Fb",
    "a/b", "//evil.example", "@evil.example", "http://evil.example/", "?x=1", "#top", "...", ".a",
    "a.", "~", "*", "{n}", "${HOME}", "&x=1", "+", " ", "  a  ", "x" * 5000,
]  # fmt: skip


def sent(outcome: Any, k: int = 0) -> dict[str, Any]:
    """What /echo saw; headers as a dict of lower-case names."""
    echo: dict[str, Any] = outcome.results[k]
    return echo | {"headers": {name.lower(): value for name, value in echo["headers"]}}


# what a record fills in


def test_a_url_on_the_command_line(run: Any, server: Server) -> None:
    done = run(
        "-e", f"company={server.url}/company/{{domain}}", stdin=b'{"domain":"example.com", "n":1}\n'
    )
    assert done.returncode == 0
    start, _, added = done.stdout.partition(b',"company":')
    assert start == b'{"domain":"example.com", "n":1'
    assert json.loads(added[:-2])["name"] == "example.com"


def test_nested_fields_and_list_items(enrich: Any, server: Server) -> None:
    given = {"a": {"b": [{"c": "first"}, {"c": "second"}]}, "a.b": "no"}
    enrich('http.url = "SERVER/company/{a.b.1.c}"', given)
    assert server.stats()["paths"] == {"/company/second": 1}


def test_every_odd_character_in_a_path_segment(enrich: Any, server: Server) -> None:
    outcome = enrich('http.url = "SERVER/company/{v}"', *[{"v": text} for text in ODD])
    assert outcome.errors == []
    assert [result["name"] for result in outcome.results] == ODD
    paths = server.stats()["paths"]
    assert {unquote(path.removeprefix("/company/")) for path in paths} == set(ODD)
    assert all(path.isascii() and path.isprintable() and path.count("/") == 2 for path in paths)


def test_every_odd_character_in_a_query(enrich: Any) -> None:
    text = 'http.url = "SERVER/echo?q={v}&z=1"\nhttp.query = { w = "-{v}-" }'
    outcome = enrich(text, *[{"v": text} for text in ODD])
    for k, value in enumerate(ODD):
        pairs = parse_qsl(sent(outcome, k)["query"], keep_blank_values=True, strict_parsing=True)
        assert pairs == [("q", value), ("z", "1"), ("w", f"-{value}-")]


@pytest.mark.parametrize("url", ["SERVER/company/{v}", "SERVER/company/{v}/x", "SERVER/{v}?a={v}"])
def test_nothing_climbs_out_of_its_segment(enrich: Any, server: Server, url: str) -> None:
    climbing = ["..", ".", "../x", "a/../b", "..\\x", "a/..", "./a", "a\\..\\b"]
    outcome = enrich(f'http.url = "{url}"', *[{"v": text} for text in climbing])
    assert [error["kind"] for error in outcome.errors] == ["missing_field"] * len(climbing)
    assert server.stats()["total"] == 0


def test_dots_that_only_together_are_a_climb(enrich: Any, server: Server) -> None:
    text = 'http.url = "SERVER/company/{a}{b}/x"'
    outcome = enrich(text, {"a": ".", "b": "."}, {"a": "x", "b": "."})
    assert outcome.out[0]["_error"]["kind"] == "missing_field"
    outcome = enrich('http.url = "SERVER/company/.{a}"', {"a": "."})
    assert outcome.out[0]["_error"]["kind"] == "missing_field"
    assert [p for p in server.stats()["paths"] if ".." in p] == []


def test_a_lone_surrogate_is_refused(enrich: Any, server: Server) -> None:
    outcome = enrich('http.url = "SERVER/company/{v}"', b'{"v":"\\ud800"}\n', {"v": "ok"})
    assert len(outcome.errors) == 1
    assert outcome.results[1]["name"] == "ok"
    assert server.stats()["total"] == 1


MISSING = [{}, {"v": None}, {"v": ""}, {"w": 1}]


def test_a_record_without_the_field_is_skipped_and_counted(enrich: Any, server: Server) -> None:
    outcome = enrich('http.url = "SERVER/company/{v}"', *MISSING, {"v": "a"})
    assert outcome.code == 0
    assert outcome.out[:-1] == MISSING
    assert outcome.counts["stages"]["x"]["skipped"] == 4
    assert outcome.counts["ok"] == 5
    assert server.stats()["total"] == outcome.counts["requests"] == 1


def test_a_record_without_the_field_fails_if_that_is_wished(enrich: Any, server: Server) -> None:
    text = 'http = { url = "SERVER/company/{v}", on_missing = "fail" }'
    outcome = enrich(text, *MISSING, {"v": "a"})
    assert outcome.code == 3
    assert [error["kind"] for error in outcome.errors] == ["missing_field"] * 4
    assert all("v" in error["message"] for error in outcome.errors)
    assert outcome.counts["stages"]["x"]["skipped"] == 0
    assert server.stats()["total"] == 1


def test_falsy_values_are_values(enrich: Any, server: Server) -> None:
    enrich('http.url = "SERVER/company/{v}"', {"v": 0}, {"v": False}, {"v": 0.0})
    assert server.stats()["paths"] == {"/company/0": 1, "/company/false": 1, "/company/0.0": 1}


def test_what_is_no_text_is_refused(enrich: Any, server: Server) -> None:
    outcome = enrich(
        'http.url = "SERVER/company/{v}"', *[{"v": v} for v in ([], [1], {}, {"a": 1})]
    )
    assert [error["kind"] for error in outcome.errors] == ["missing_field"] * 4
    assert server.stats()["total"] == 0


def test_big_integers_are_inserted_exactly(enrich: Any) -> None:
    numbers = [str(2**53 + 1), str(10**40 + 7), str(-(2**70) - 1), "9" * 5000]
    text = 'http = { url = "SERVER/echo?n={n}", headers = { X-N = "{n}" }, body = "{n}" }'
    outcome = enrich(text, *[f'{{"n":{number}}}\n'.encode() for number in numbers])
    lines = outcome.stdout.splitlines()  # with an integer that Python's own parser refuses
    for n, line in zip(numbers, lines, strict=True):
        echo = json.loads(line.partition(b',"x":')[2][:-1])
        assert (echo["query"], echo["body"]) == (f"n={n}", n)
        assert ["X-N", n] in echo["headers"]


def test_nothing_gets_into_a_header(enrich: Any, server: Server) -> None:
    evil = ["a\r\nX-Evil: 1", "a\nX-Evil: 1", "a\rb", "a\r\n\r\nGET / HTTP/1.1", "\0", "a\x7fb"]
    outcome = enrich(ECHO + 'http.headers = { X-A = "{v}" }', *[{"v": v} for v in [*evil, "fine"]])
    assert [error["kind"] for error in outcome.errors] == ["missing_field"] * len(evil)
    assert sent(outcome, -1)["headers"]["x-a"] == "fine"
    assert server.stats()["total"] == 1


@pytest.mark.parametrize("setting", ["headers = { X-A = ", "auth = { bearer = "])
def test_nothing_gets_into_a_header_from_the_environment(enrich: Any, setting: str) -> None:
    outcome = enrich(ECHO + f'http.{setting} "${{KEY}}" }}', KEY="secret\r\nX-Evil: 1")
    assert outcome.code == 78
    assert b"secret" not in outcome.stderr


def test_headers_that_cannot_be_set(enrich: Any) -> None:
    names = ["Host", "Content-Length", "transfer-encoding", "Connection", "a b", "a:b", "é", ""]
    table = ", ".join(f'"{name}" = "1"' for name in names)
    outcome = enrich(ECHO + f"http.headers = {{ {table} }}")
    assert outcome.code == 78
    assert [name for name in names if f"headers.{name}:" not in outcome.stderr.decode()] == []


def test_a_header_value_in_another_script(enrich: Any) -> None:
    outcome = enrich(ECHO + 'http.headers = { X-A = "{v}" }', {"v": "Zoë 日本"})
    assert sent(outcome)["headers"]["x-a"].encode("latin-1").decode() == "Zoë 日本"


# bodies


def test_a_json_body_keeps_types(enrich: Any) -> None:
    text = (
        ECHO
        + """[stage.http.json]\nwhole = "{v}"\ntext = "n is {v.n}"
        list = ["{v.n}", 1, true]\nlit = "{{v}}"\nnested = { deep = "{v.f}" }\nmissing = "{nope}"
        """
    )
    value = {"n": 2**60 + 1, "f": 1.5, "t": True, "z": None, "l": [1, "a"], "s": 'q"\\\n'}
    echo = sent(enrich(text, {"v": value}))
    assert (echo["method"], echo["headers"]["content-type"]) == ("POST", "application/json")
    assert json.loads(echo["body"]) == {
        "whole": value, "text": f"n is {2**60 + 1}", "list": [2**60 + 1, 1, True], "lit": "{v}",
        "nested": {"deep": 1.5}, "missing": None,
    }  # fmt: skip


def test_a_json_body_keeps_big_integers(enrich: Any) -> None:
    outcome = enrich(ECHO + 'http.json = { n = "{n}" }', b'{"n":123456789012345678901234567890}\n')
    assert "123456789012345678901234567890" in sent(outcome)["body"]


def test_a_form(enrich: Any) -> None:
    outcome = enrich(ECHO + 'http.form = { a = "{v}", b = "x&y" }', *[{"v": v} for v in ODD])
    for k, value in enumerate(ODD):
        echo = sent(outcome, k)
        assert echo["headers"]["content-type"] == "application/x-www-form-urlencoded"
        assert parse_qsl(echo["body"], strict_parsing=True) == [("a", value), ("b", "x&y")]


def test_a_text_body(enrich: Any) -> None:
    echo = sent(enrich(ECHO + 'http.body = "<a>{v}</a>"', {"v": "ü\r\n&"}))
    assert echo["body"] == "<a>ü\r\n&</a>"
    assert (echo["method"], echo["headers"]["content-type"]) == (
        "POST",
        "text/plain; charset=utf-8",
    )


def test_two_bodies_are_an_error(enrich: Any) -> None:
    assert enrich(ECHO + 'http.json = { a = 1 }\nhttp.body = "x"').code == 78


def test_methods(enrich: Any) -> None:
    methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    stage = '[[stage]]\nname = "{0}"\nhttp = {{ url = "SERVER/echo", method = "{0}" }}\n'
    (record,) = enrich("".join(stage.format(method) for method in methods), {}).out
    assert [(record[m]["method"], record[m]["body"]) for m in methods] == [(m, "") for m in methods]


def test_a_content_type_of_ones_own(enrich: Any) -> None:
    text = (
        ECHO
        + 'http.json = { a = 1 }\nhttp.headers = { content-type = "application/x", Accept = "a/b" }'
    )
    outcome = enrich(text)
    names = [name.lower() for name, _ in outcome.results[0]["headers"]]
    assert (names.count("content-type"), names.count("accept")) == (1, 1)
    assert sent(outcome)["headers"]["content-type"] == "application/x"


# who asks


AUTHS = [
    ('{ bearer = "${KEY}" }', "authorization", "Bearer s3cret:kéy"),
    ('{ basic = "me:${KEY}" }', "authorization",
     "Basic " + b64encode("me:s3cret:kéy".encode()).decode()),
    ('{ header = "X-Api-Key", value = "${KEY}" }', "x-api-key", "s3cret:kéy"),
]  # fmt: skip


@pytest.mark.parametrize(("auth", "name", "value"), AUTHS)
@pytest.mark.parametrize("client", ["lean", "aiohttp"])
def test_auth(enrich: Any, auth: str, name: str, value: str, client: str) -> None:
    outcome = enrich(ECHO + f'http.auth = {auth}\nhttp.client = "{client}"', KEY="s3cret:kéy")
    echo = json.loads(outcome.stdout)["x"]
    headers = {name.lower(): value for name, value in echo["headers"]}
    assert headers[name].encode("latin-1").decode() == value


def test_a_missing_variable_is_an_error(enrich: Any) -> None:
    outcome = enrich(ECHO + 'http.auth = { bearer = "${NO_SUCH_KEY}" }')
    assert outcome.code == 78
    assert b"NO_SUCH_KEY" in outcome.stderr


def test_what_a_variable_holds_is_no_template(enrich: Any) -> None:
    text = ECHO + 'http.headers = { X-A = "${KEY}{v}" }\nhttp.json = { a = "${KEY}" }'
    echo = sent(enrich(text, {"v": "${HOME}"}, KEY="{v}${HOME}"))
    assert echo["headers"]["x-a"] == "{v}${HOME}${HOME}"
    assert json.loads(echo["body"]) == {"a": "{v}${HOME}"}


@pytest.mark.parametrize("client", ["lean", "aiohttp"])
def test_user_agent(enrich: Any, client: str) -> None:
    text = ECHO + f'http.client = "{client}"\n'
    assert sent(enrich(text))["headers"]["user-agent"] == f"streamproc/{__version__}"
    outcome = enrich(text + 'http.headers = { User-Agent = "mine/1" }')
    agents = [v for name, v in outcome.results[0]["headers"] if name.lower() == "user-agent"]
    assert agents == ["mine/1"]


# answers


def test_ok_says_which_statuses_are_answers(enrich: Any) -> None:
    text = 'http = { url = "SERVER/status/{s}?body={b}", ok = [200, 404, 418] }'
    outcome = enrich(text, *[{"s": s, "b": "[1]"} for s in (200, 404, 418, 201)])
    assert outcome.results == [[1], [1], [1], None]
    assert outcome.errors[0]["kind"] == "http_status"
    assert "201" in outcome.errors[0]["message"]


@pytest.mark.parametrize(
    ("missing", "record"), [("null", {"n": 1, "x": None}), ("skip", {"n": 1}), ("fail", None)]
)
def test_what_a_404_becomes(enrich: Any, missing: str, record: Any) -> None:
    outcome = enrich(f'http = {{ url = "SERVER/status/404", missing = "{missing}" }}')
    if record is None:
        assert (outcome.code, outcome.errors[0]["kind"]) == (3, "http_status")
        assert "404" in outcome.errors[0]["message"]
    else:
        assert (outcome.code, outcome.out) == (0, [record])


def test_null_is_the_default_for_a_404(enrich: Any) -> None:
    assert enrich('http.url = "SERVER/status/404"').out == [{"n": 1, "x": None}]


def test_statuses_that_are_final(enrich: Any, server: Server) -> None:
    statuses = [400, 401, 403, 405, 410, 422, 451, 501]
    text = 'http.url = "SERVER/status/{s}?body=because"'
    outcome = enrich(text, *[{"s": status} for status in statuses])
    for status, error in zip(statuses, outcome.errors, strict=True):
        assert (error["kind"], error["attempts"]) == ("http_status", 1)
        assert str(status) in error["message"]
        assert "because" in error["message"]
    assert server.stats()["total"] == len(statuses)


def test_select(enrich: Any) -> None:
    selects = ["n", "[path, n]", "nope", "{a: path}"]
    stage = '[[stage]]\nname = "s{}"\nhttp = {{ url = "SERVER/ok", select = "{}" }}\n'
    outcome = enrich("".join(stage.format(k, select) for k, select in enumerate(selects)), {})
    assert outcome.out == [{"s0": 1, "s1": ["/ok", 2], "s2": None, "s3": {"a": "/ok"}}]


def test_a_bad_select_is_an_error(enrich: Any) -> None:
    outcome = enrich('http = { url = "SERVER/ok", select = "[[" }')
    assert outcome.code == 78
    assert b"select" in outcome.stderr


def test_into(enrich: Any) -> None:
    assert enrich('into = "."\nhttp.url = "SERVER/ok"', {"n": 7}).out == [{"n": 1, "path": "/ok"}]
    outcome = enrich('into = "a.b"\nhttp.url = "SERVER/ok"', {"a": {"c": 1}})
    assert outcome.out == [{"a": {"c": 1, "b": {"path": "/ok", "n": 2}}}]


def test_only_an_object_can_be_merged(enrich: Any) -> None:
    outcome = enrich('into = "."\nhttp.url = "SERVER/list"')
    assert (outcome.code, outcome.out[0]["n"]) == (3, 1)
    assert "_error" in outcome.out[0]


def test_when(enrich: Any, server: Server) -> None:
    given = [{"go": value} for value in (None, "", [], {}, False, True, 1, "x")]
    outcome = enrich('when = "go"\nhttp.url = "SERVER/ok"', *given)
    assert ["x" in record for record in outcome.out] == [False] * 5 + [True] * 3
    assert server.stats()["total"] == 3


@pytest.mark.parametrize("client", ["lean", "aiohttp"])
def test_answers_that_are_not_json(enrich: Any, server: Server, client: str) -> None:
    paths = ["not-json", "empty", "bad-utf8", "nan", "html", "deep", "gzip/broken", "utf16"]
    sources = ", ".join(
        f'{{ name = "s{k}", retry = false, http.url = "SERVER/{path}", http.client = "{client}" }}'
        for k, path in enumerate(paths)
    )
    (error,) = enrich(f"all = [{sources}]").errors
    assert {each["kind"] for each in error["sources"].values()} == {"bad_answer"}
    assert len(error["sources"]) == server.stats()["total"] == len(paths)


def test_the_first_200_bytes_of_a_bad_answer_are_shown(enrich: Any) -> None:
    body = "<p>" + "0123456789" * 30
    (error,) = enrich('http.url = "SERVER/status/200?body={b}"', {"b": body}).errors
    assert body[:200] in error["message"]
    assert body[:201] not in error["message"]


def test_no_content_and_null(enrich: Any) -> None:
    assert enrich('http.url = "SERVER/204"').out == [{"n": 1, "x": None}]
    assert enrich('http.url = "SERVER/null"').out == [{"n": 1, "x": None}]
    assert enrich('into = "."\nhttp.url = "SERVER/204"').out == [{"n": 1}]


@pytest.mark.parametrize("more", ["", 'cache = "1h"', 'http.select = "@"'])
def test_big_integers_of_an_answer_are_exact(enrich: Any, more: str) -> None:
    outcome = enrich(f'http.url = "SERVER/bigint"\n{more}', {}, {})
    assert [result["n"] for result in outcome.results] == [123456789012345678901234567890] * 2


def test_an_answer_that_is_too_large(enrich: Any) -> None:
    text = 'http = { url = "SERVER/large?bytes={n}", max_body = "10KiB" }'
    outcome = enrich(text, {"n": 10240}, {"n": 10241})
    assert len(outcome.results[0]) == 10238
    assert [error["kind"] for error in outcome.errors] == ["answer_too_large"]


@pytest.mark.parametrize("client", ["lean", "aiohttp"])
def test_a_bomb_costs_a_failed_record(enrich: Any, client: str) -> None:
    sources = ", ".join(
        f'{{ name = "s{k}", retry = false, http.url = "SERVER/{path}", http.client = "{client}" }}'
        for k, path in enumerate(["gzip/bomb?mb=1024", "endless", "headers/huge"])
    )
    (error,) = enrich(f"all = [{sources}]").errors
    kinds = [each["kind"] for each in error["sources"].values()]
    assert kinds[:2] == ["answer_too_large"] * 2
    assert kinds[2] in ("answer_too_large", "bad_answer")


# where to


def test_a_record_may_not_name_the_host(enrich: Any, server: Server) -> None:
    for url in (
        "{url}",
        "http://{host}/x",
        "http://a{host}/x",
        "{scheme}://a/",
        "http://a:{port}/",
    ):
        outcome = enrich(f'http.url = "{url}"', {"url": server.url})
        assert outcome.code == 78
        assert b"allow_hosts" in outcome.stderr


@pytest.mark.parametrize("host", ["a..b", "☃.net", "a\\\\b"])
def test_an_impossible_host_is_found_at_once(enrich: Any, host: str) -> None:
    outcome = enrich(f'http.url = "http://{host}/x"')
    assert outcome.code == 78
    assert b"is not a host name" in outcome.stderr


def test_a_listed_host_that_is_private_is_refused(enrich: Any, server: Server) -> None:
    """Each way to write an address of our own network, and a name of one."""
    hosts = [
        "127.0.0.1", "localhost", "[::1]", "10.0.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0",
        "[::ffff:127.0.0.1]", "2130706433", "0x7f.1", "127.1", "[fe80::1]", "[fd00::1]",
    ]  # fmt: skip
    text = f'http = {{ url = "{{url}}", allow_hosts = ["http://*:{server.port}"] }}\nretry = false'
    given = [{"url": f"http://{host}:{server.port}/ok"} for host in hosts]
    outcome = enrich(text, *given)
    assert len(outcome.errors) == len(hosts)
    assert server.stats()["connections"]["accepted"] == 0


def test_a_host_that_is_not_listed_is_refused(enrich: Any, server: Server) -> None:
    text = 'http = { url = "http://{host}/ok", allow_hosts = ["*.example.com"] }\nretry = false'
    hosts = [
        f"127.0.0.1:{server.port}", "example.com", "evil.com#.example.com", "evil.com/.example.com",
        "evil.com?.example.com", "x.example.com@evil.com", "evil.com\\.example.com",
        "x.example.com.evil.com", "a.example.com:80@evil.com",
    ]  # fmt: skip
    outcome = enrich(text, *[{"host": host} for host in hosts])
    kinds = [error["kind"] for error in outcome.errors]
    assert len(kinds) == len(hosts)
    assert set(kinds) <= {"missing_field", "dns"}  # `evil.com%2F.example.com` is in example.com
    assert server.stats()["connections"]["accepted"] == 0


def test_a_url_that_is_none(enrich: Any) -> None:
    urls = ["nonsense", "ftp://a.example/", "file:///etc/passwd", "http://", "http://a.example:x/"]
    text = 'http = { url = "{url}", allow_hosts = ["*"] }\nretry = false'
    outcome = enrich(text, *[{"url": url} for url in urls])
    assert [error["kind"] for error in outcome.errors] == ["missing_field"] * len(urls)


def test_redirects_are_not_followed(enrich: Any, server: Server) -> None:
    outcome = enrich('http.url = "SERVER/redirect/chain?n=1"')
    assert outcome.errors[0]["kind"] == "http_status"
    assert server.stats()["total"] == 1


def test_redirects_are_followed_if_that_is_wished(enrich: Any, server: Server) -> None:
    text = 'http = { url = "SERVER/redirect/chain?n={n}", redirects = true }\nretry = false'
    outcome = enrich(text, {"n": 5}, {"n": 6})
    assert outcome.results[0]["path"] == "/redirect/chain"
    assert [error["kind"] for error in outcome.errors] == ["bad_answer"]
    assert enrich(text.replace("true", "1"), {"n": 2}).errors[0]["kind"] == "bad_answer"


@pytest.mark.parametrize(
    "to",
    [
        "/status/429",
        "/status/408",
        "/status/503?after=0",
        "/429?after=0",
        "http://127.0.0.1:1/",
        "/close/before",
        "/ok",
    ],
)
@pytest.mark.parametrize("code", [303, 307])
def test_what_was_redirected_is_not_sent_again(
    enrich: Any, server: Server, to: str, code: int
) -> None:
    """A POST that was answered with a redirect was done, whatever comes of the redirect."""
    text = f"""http = {{ url = "SERVER/redirect/to?url={quote(to)}&code={code}", method = "POST",
    json = {{}}, redirects = true }}
    retry = {{ base = "1ms", when = "status == `200`" }}""".replace("\n    json", " json")
    outcome = enrich(text)
    assert len(outcome.errors) == 1
    assert outcome.errors[0]["attempts"] == 1
    assert server.stats()["paths"]["/redirect/to"] == 1
    if to == "/status/408":
        server.reset()
        enrich(text.replace('"1ms",', '"1ms", attempts = 2, idempotent = true,'))
        assert server.stats()["paths"]["/redirect/to"] == 2


def test_redirects_in_a_circle(enrich: Any, server: Server) -> None:
    outcome = enrich('http = { url = "SERVER/redirect/loop", redirects = true }')
    assert outcome.errors[0]["kind"] == "bad_answer"
    assert server.stats()["total"] <= 6


def test_redirects_and_hosts_that_are_listed(enrich: Any, server: Server) -> None:
    """With `allow_hosts` a redirect leads to those only; the lean client follows none."""
    text = """http = { url = "SERVER/redirect/to?url={to}", redirects = true, allow_hosts =
    ["*.example.com"] }\nretry = false""".replace("\n   ", "")
    outcome = enrich(text, {"to": f"http://localhost:{server.port}/ok"}, {"to": "/ok"})
    assert f"http://localhost:{server.port} is not in allow_hosts" in outcome.errors[0]["message"]
    assert outcome.results[1]["path"] == "/ok"
    assert enrich('http = { url = "SERVER/ok", client = "lean", redirects = 1 }').code == 78


def test_credentials_stay_with_their_host(enrich: Any, server: Server) -> None:
    """`localhost` is another host than 127.0.0.1, although the same server answers."""
    text = """http = { url = "SERVER/redirect/to?url={to}", redirects = true, headers = { X-Key =
    "${KEY}", Cookie = "c=${KEY}" }, auth = { bearer = "${KEY}" } }""".replace("\n", " ")
    away = f"http://localhost:{server.port}/echo"
    outcome = enrich(text, {"to": "/echo"}, {"to": away}, KEY="s3cret-key")
    here, there = (str(record["x"]["headers"]) for record in outcome.out)
    assert here.count("s3cret-key") == 3
    assert "s3cret-key" not in there


@pytest.mark.parametrize("client", ["lean", "aiohttp"])
def test_handshakes_that_take_too_long(enrich: Any, server: Server, client: str) -> None:
    """uvloop has much to say of connections that are closed then; the user has read it already."""
    tls = f'tls = {{ ca = "{server.ca_file}" }}'
    sources = ", ".join(
        f'{{ name = "{kind}{ms}", timeout = "{ms}ms", retry = false, breaker = false, http = '
        f'{{ url = "{server.tls_url(kind)}/ok?n={{n}}", client = "{client}", {tls} }} }}'
        for kind in ("good", "expired")
        for ms in (2, 4, 8, 16)
    )
    outcome = enrich(f"all = [{sources}]", *[{"n": n} for n in range(80)], args=("-j", "4"))
    kinds = {each["kind"] for error in outcome.errors for each in error["sources"].values()}
    assert kinds <= {"timeout", "tls", "connect"}
    assert b"SSL" not in outcome.stderr


# by which client


@pytest.mark.parametrize("client", ["lean", "aiohttp", "auto"])
def test_clients_ask_the_same(enrich: Any, client: str) -> None:
    text = ECHO + 'http.query = { q = "{v}" }\nhttp.headers = { X-A = "{v}" }\n'
    text += 'http.json = { v = "{v}" }\n'
    outcome = enrich(text + f'http.client = "{client}"', {"v": "a b"})
    echo = sent(outcome)
    assert (echo["method"], echo["query"], echo["body"]) == ("POST", "q=a%20b", '{"v":"a b"}')
    assert echo["headers"]["x-a"] == "a b"


def test_a_proxy_from_the_environment(enrich: Any, run: Any, pipeline: Any, server: Server) -> None:
    """The proxy is asked for a host that exists nowhere."""
    text = 'http.url = "http://no-such-host.invalid/ok"'
    env = {"HTTP_PROXY": server.url, "http_proxy": server.url, "NO_PROXY": "", "no_proxy": ""}
    outcome = enrich(text + "\nretry = false", **env)
    assert server.stats()["paths"] == {"http://no-such-host.invalid/ok": 1}
    assert outcome.code in (0, 3)  # our server is no proxy: it knows no such path
    assert b"client aiohttp, for the proxy" in run("check", "-c", pipeline(text), env=env).stdout


def test_no_proxy_asks_private_addresses_for_a_record(enrich: Any, server: Server) -> None:
    env = {"HTTP_PROXY": server.url, "http_proxy": server.url, "NO_PROXY": "", "no_proxy": ""}
    hosts = ["10.0.0.1", "127.0.0.1", "169.254.169.254", "[::1]", "localhost", "2130706433"]
    text = 'http = { url = "{url}", allow_hosts = ["http://*"] }\nretry = false'
    outcome = enrich(text, *[{"url": f"http://{host}/ok"} for host in hosts], **env)
    assert server.stats()["paths"] == {}
    assert len(outcome.errors) == len(hosts)


def test_hosts_that_need_no_proxy(enrich: Any, server: Server) -> None:
    nobody = "http://127.0.0.1:9"
    env = {"HTTP_PROXY": nobody, "http_proxy": nobody, "NO_PROXY": "127.0.0.1"}
    assert enrich('http.url = "SERVER/ok"', **env, no_proxy="127.0.0.1").code == 0


def test_tls(enrich: Any, server: Server) -> None:
    text = f'http = {{ url = "{server.tls_url()}/ok", tls = {{ ca = "{server.ca_file}" }} }}'
    assert enrich(text).code == 0
    for kind in ("expired", "foreign", "wronghost"):
        outcome = enrich(text.replace(server.tls_url(), server.tls_url(kind)))
        assert (outcome.errors[0]["kind"], outcome.errors[0]["attempts"]) == ("tls", 1)
