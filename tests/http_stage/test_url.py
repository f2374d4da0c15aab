"""A record fills a segment or a query value of a URL, and nothing else."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.config.origins import expand
from streamproc.errors import RecordError
from streamproc.http.contract import Target
from streamproc.http.template import Template
from streamproc.http.url import Url

pytestmark = pytest.mark.forked
NICE = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
NASTY = st.lists(
    st.sampled_from(["/", "\\", "..", ".", "@", ":", "#", "?", "&", "%", "%2e", "%2F", "\r\n", "\0",
                     "a", "évil", " ", "//", "{", "}", ";", "=", "[", "]", "http:", "http://e.x/"]),
    min_size=1,
).map("".join)  # fmt: skip
VALUES = NICE | NASTY
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
SHAPES = [
    "https://api.example.com/v1/{a}",
    "https://api.example.com/v1/{a}/x",
    "https://api.example.com/{a}{b}",
    "https://api.example.com/x-{a}.json?b={b}",
    "https://api.example.com/.{a}/.{b}",
    "https://api.example.com:8443/{a}/{b}/{a}",
    "https://api.example.com?a={a}&b=1{b}",
]


def url(written: str, *, query: dict[str, str] | None = None, hosts: tuple[str, ...] = ()) -> Url:
    templates = {name: Template.parse(value) for name, value in (query or {}).items()}
    return Url(Template.parse(written), templates, hosts)


def rendered(at: Url, **fields: Any) -> tuple[Target, str] | None:
    """None if it is refused."""
    try:
        return at.render(fields)
    except RecordError as error:
        if error.kind != "missing_field":
            raise
        return None


@pytest.mark.parametrize("shape", SHAPES)
@given(a=VALUES, b=VALUES)
def test_no_value_changes_where_it_goes(shape: str, a: str, b: str) -> None:
    """Host, number of segments, number of query values: all as in the template."""
    at = url(shape, query={"more": "{a}"})
    found = rendered(at, a=a, b=b)
    if found is None:
        assert ".." in a + b or "." in (a, b) or "." in a + b
        return
    target, path = found
    model = urlsplit(shape)
    assert (target.scheme, target.host, target.port) == (
        "https", "api.example.com", model.port or 443
    )  # fmt: skip
    assert path.isascii()
    assert path.isprintable()
    assert " " not in path
    parts = urlsplit(f"https://api.example.com{path}")
    assert (parts.hostname, parts.fragment) == ("api.example.com", "")
    segments, wanted = parts.path.split("/"), (model.path or "/").split("/")
    assert len(segments) == len(wanted)
    assert {".", ".."}.isdisjoint(segments)
    for segment, template in zip(segments, wanted, strict=True):
        filled = re.sub(r"\{([ab])\}", lambda match: {"a": a, "b": b}[match[1]], template)
        assert unquote(segment, errors="strict") == filled
    pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True)
    assert [name for name, _ in pairs][-1] == "more"
    assert pairs[-1][1] == a
    assert len(pairs) == len(parse_qsl(model.query)) + 1


@given(VALUES)
def test_a_segment_decodes_to_its_value(value: str) -> None:
    """One that is not refused; and nothing is refused that could not climb."""
    found = rendered(url("http://h/x/{v}"), v=value)
    climbs = {".", ".."} & set(value.replace("\\", "/").split("/"))
    assert (found is None) == bool(climbs)
    if found is not None:
        assert unquote(found[1].removeprefix("/x/"), errors="strict") == value
        assert found[1].count("/") == 2


@given(VALUES)
def test_the_host_stays_one_that_is_listed(value: str) -> None:
    for written in ("{v}", "http://{v}/x", "http://{v}.example.com/x", "http://{v}:80/"):
        found = rendered(url(written, hosts=("*.example.com", "example.com")), v=value)
        if found is not None:
            assert found[0].host == "example.com" or found[0].host.endswith(".example.com")
            assert found[0].is_from_record
            assert found[1].startswith("/")
            assert found[1].isprintable()


TRICKS = [
    "http://evil.com#.example.com/", "http://a@evil.com/",
    "http://x.example.com@evil.com/", "http://evil.com%2f.example.com/x", "http://evil.com?.example.com",
    "//evil.com/", "http:evil.com", "http:///evil.com", "HTTP://EVIL.COM", "http://evil.com%00.example.com",
    "http://evil.com\t.example.com", "http://evil.com\n.example.com/", "javascript:alert(1)",
    "http://evil.com。example.com", "http://evil.com\uff0f.example.com/", "http://[evil.com].example.com",
    "http://evil.com\\.example.com/", "http://evil.com%5c.example.com/", "http://e;x.example.com",
    "http://a b.example.com", "http://[a.example.com]", "http://[::1].example.com", "http://..example.com",
    "http://evil.com%2f.example.com", "http://evil.com\u2100.example.com", "http://☃.example.com",
    "http://" + "a" * 64 + ".example.com", "http://" + "a." * 130 + "example.com", "http://*.example.com",
]  # fmt: skip


@pytest.mark.parametrize("trick", TRICKS)
def test_tricks_with_hosts(trick: str) -> None:
    """Refused, or a name under example.com that has no way to be another."""
    found = rendered(url("{u}", hosts=("*.example.com",)), u=trick)
    if found is not None:
        assert found[0].host.endswith(".example.com")
        assert found[0].host.isascii()
        assert re.fullmatch(r"([a-z0-9_-]+\.)+[a-z]+", found[0].host)


@pytest.mark.parametrize(
    "written",
    ["", "h", "/x", "ftp://h/", "http://", "http:///x", "http://u:p@h/", "http://h:x/", "http://{v}/",
     "http://h{v}/", "http://h:{v}/", "{v}", "{v}://h/", "http://u@{v}/", "http://h/#x", "http://h{v}",
     "http://a..b/", "http://h\\x/", "http://-a/",
     "http://☃.net/", "http://\u200d.example/", "http://" + "ü" * 60, "http://a%2fb/", "http://[a]/",
     "http://[::1%]/", "http://a b/", "http://h:65536/"],
)  # fmt: skip
def test_urls_that_are_no_good(written: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        url(written)


IDNA = [
    ("straße.example", "xn--strae-oqa.example"),  # IDNA 2003, as Python has it, says strasse
    ("MÜLLER.example", "xn--mller-kva.example"),
    ("m%C3%BCller.example", "xn--mller-kva.example"),
    ("mu\u0308ller.example", "xn--mller-kva.example"),
    ("xn--mller-kva.example", "xn--mller-kva.example"),
    ("bücher。example", "xn--bcher-kva.example"),
    ("пример.example", "xn--e1afmkfd.example"),
    ("\uff45\uff58ample.example.", "example.example."),
    ("snake_case.EXAMPLE", "snake_case.example"),
    ("[2001:DB8::1]", "2001:db8::1"),
]


@pytest.mark.parametrize(("written", "sent"), IDNA)
def test_hosts_go_out_in_ascii(written: str, sent: str) -> None:
    """Those of a pipeline file, and those that records name, whole or in part."""
    assert url(f"https://{written}:81/ü").target == Target("https", sent, 81)
    named = Target("https", sent, 81, is_from_record=True)
    hosts = ("*.example:81", "*.example.:81", "[2001:*]:81")
    assert rendered(url("{u}", hosts=hosts), u=f"https://{written}:81/ü") == (named, "/%C3%BC")
    if "%" not in written and "[" not in written:
        assert rendered(url("https://{h}:81/x", hosts=hosts), h=written) == (named, "/x")
        last = rendered(url("https://www.{h}:81/x", hosts=hosts), h=written)
        assert last == (Target("https", f"www.{sent}", 81, is_from_record=True), "/x")


PLACES = [
    (["*.example.com"], "https://a.example.com/x", "https://a.example.com"),
    (["*.example.com"], "http://a.example.com/x", "https://a.example.com"),
    (["*.example.com"], "http://a.example.com:80/x", "https://a.example.com"),
    (["*.example.com"], "http://a.example.com:8080/x", None),
    (["*.example.com"], "https://a.example.com:22/x", None),
    (["HTTP://*.example.com"], "http://a.example.com/x", "http://a.example.com"),
    (["http://*.example.com"], "https://a.example.com/x", None),
    (["http://*.example.com:8080"], "http://a.example.com:8080/x", "http://a.example.com:8080"),
    (["http://*.example.com:8080"], "http://a.example.com/x", "http://a.example.com:8080"),
    (["a.example.com:8443"], "https://a.example.com/x", "https://a.example.com:8443"),
    (["a.example.com:8443"], "http://a.example.com:8443/x", "https://a.example.com:8443"),
    (["a.example.com:8443", "*.example.com"], "https://a.example.com", "https://a.example.com"),
    (["http://*.example.com", "*.example.com"], "http://a.example.com", "http://a.example.com"),
    (["https://[2001:db8::1]"], "https://[2001:db8::1]/", "https://[2001:db8::1]"),
    (["2001:db8::1"], "https://[2001:db8::1]:443/", "https://[2001:db8::1]"),
    (["[2001:db8::1]:81"], "https://[2001:db8::1]/", "https://[2001:db8::1]:81"),
]


@pytest.mark.parametrize(("hosts", "written", "asked"), PLACES)
def test_scheme_and_port_are_those_of_the_list(
    hosts: list[str], written: str, asked: str | None
) -> None:
    """A record chooses among hosts; never plain HTTP, nor another service of the host."""
    found = rendered(url("{u}", hosts=tuple(hosts)), u=written)
    assert (found and found[0].name) == asked


@pytest.mark.parametrize(
    "entry",
    ["", "ftp://a", "a/b", "http://", "u@a", "a:0", "a:65536", "https://a/", "[::1]x", "a b"],
)
def test_entries_that_are_none(entry: str) -> None:
    with pytest.raises(ValueError, match="allow_hosts"):
        url("{u}", hosts=(entry,))


def test_listed_hosts_may_be_written_as_they_are_read() -> None:
    at = url("{u}", hosts=("*.Straße.example", "MÜLLER.example"))
    for host in ("a.straße.example", "a.xn--strae-oqa.example", "müller.example"):
        assert rendered(at, u=f"http://{host}/")
    for host in ("strasse.example", "a.strasse.example", "muller.example"):
        assert rendered(at, u=f"http://{host}/") is None
    with pytest.raises(ValueError, match="allow_hosts"):
        url("{u}", hosts=("☃.net",))


def test_what_stands_in_the_url_stays() -> None:
    at = url("http://h:8080/a%20b/ü/(x)?q=a+b&r=%26", query={"s t": "1&2", "u": "{v}"})
    assert at.render({"v": "3"})[1] == "/a%20b/%C3%BC/(x)?q=a+b&r=%26&s%20t=1%262&u=3"
    assert url("http://h").render({})[1] == "/"
    assert url("http://h?x=1").render({})[1] == "/?x=1"
    assert at.target == Target("http", "h", 8080, False)


@given(value=VALUES | st.integers() | FLOATS | st.none() | st.booleans() | st.just(10**4400))
def test_one_field_is_written_as_one_of_several(value: object) -> None:
    for fields, name in (({"a": value}, "a"), ({"a": {"": value, "b": value}}, "a.b")):
        among = rendered(url(f"http://h/x/{{{name}}}?c={{c}}"), **fields, c="c")
        alone = rendered(url(f"http://h/x/{{{name}}}"), **fields)
        assert (alone and f"{alone[1]}?c=c") == (among and among[1])


def test_a_variable_is_text_of_the_url_and_a_value_of_the_query() -> None:
    """In the URL it may be several parts of it; in `query` it is one value, whatever it has."""
    problems: list[str] = []
    variables = {"PART": "v1/a b?x=1&y=%2F"}
    written, value = (
        expand(text, variables, "there", problems) for text in ("http://h/${PART}", "${PART}")
    )
    at = Url(Template.parse(written), {"q": Template.parse(value)})
    assert at.render({})[1] == "/v1/a%20b?x=1&y=%2F&q=v1%2Fa%20b%3Fx%3D1%26y%3D%252F"
    assert problems == []
