"""A secret is not printed, however somebody else wrote it down."""

from __future__ import annotations

import html
import json
import re
import time
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc import secrets

SECRETS = [
    'sécr3t/k=y+with "odd" \\ chars{x}', "abcd/efgh+ijkl==", "p&ss<w>rd'%41", "пароль-пароль",
    "a\\\\b\\c\\\"d\"", "\\\\\\\\", "line\nline\tline", "🔑🔑🔑🔑", "&&&&&&&&",
    "bytes\udce9\udcff/",
]  # fmt: skip
WAYS = [
    str, repr, html.escape, json.dumps, lambda text: json.dumps(text, ensure_ascii=False),
    lambda text: json.dumps(text).replace("/", "\\/"), lambda text: json.dumps(json.dumps(text)),
    lambda text: quote(text, errors="surrogateescape"),
    lambda text: re.sub(
        "%..", lambda octet: octet[0].lower(), quote(text, safe="", errors="surrogateescape")
    ),
    lambda text: quote(text, safe="/?&=%:;,@!$'()*+~[]-._", errors="surrogateescape"),
    lambda text: quote_plus(text, errors="surrogateescape"),
    lambda text: quote(quote(text, safe="", errors="surrogateescape")),
    lambda text: quote_plus(text, errors="surrogateescape").replace("+", " "),
    lambda text: repr(text.encode("utf-8", "surrogateescape")),
    lambda text: text.encode("utf-8", "surrogateescape").decode("latin-1"),
    lambda text: json.dumps(text.encode("utf-8", "surrogateescape").decode("latin-1")),
    lambda text: text.encode("latin-1", "replace").decode("utf-8", "replace"),
]  # fmt: skip


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """What other tests hide, or have hidden, does not matter here."""
    before = dict(secrets._hidden)
    secrets._hidden.clear()
    yield
    secrets._hidden.clear()
    secrets._hidden.update(before)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("secret", SECRETS)
def test_every_way_to_write_it_is_hidden(secret: str, way: object) -> None:
    secrets.hide(secret)
    written = way(secret)  # type: ignore[operator]
    assert secrets.redact(f"key: {written}.").strip("'\"\\b") in (
        "key: ***.", "key: '***'.", 'key: "***".', 'key: "\\"***\\"".', "key: b'***'.",
        'key: b"***".',
    )  # fmt: skip


@pytest.mark.parametrize("most", range(0, 60, 7))
@pytest.mark.parametrize("secret", SECRETS)
def test_no_part_of_it_is_in_an_excerpt(secret: str, most: int) -> None:
    """Wherever it is cut, and whatever else was taken out before."""
    secrets.hide(secret)
    secrets.hide("another one that is longer than the rest, much longer")
    raw = json.dumps(secret)[1:-1].encode()
    for before in range(most + 1):
        shown = secrets.excerpt(b"." * before + raw * 2 + b"tail" * 99, most)
        assert re.fullmatch(r"\.*(\*\*\*)?(tail)*t?a?i?…", shown)


def test_an_excerpt_without_secrets() -> None:
    secrets.hide("0123456789")
    assert secrets.excerpt(b"", 3) == ""
    assert secrets.excerpt(b"abc", 3) == "abc"
    assert secrets.excerpt(b"abcd", 3) == "abc…"
    assert secrets.excerpt("äöüß".encode(), 3) == "äöü…"
    assert secrets.excerpt(b"\xff" * 4, 3) == "\ufffd" * 3 + "…"


def test_short_values_are_left() -> None:
    """Hiding every "1" would make messages unreadable."""
    secrets.hide("1")
    secrets.hide("")
    secrets.hide("   ")
    assert secrets.redact("1 +   1 = 2") == "1 +   1 = 2"


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=4), st.sampled_from(WAYS[:13]))
def test_any_text_is_hidden(secret: str, way: object) -> None:
    secrets._hidden.clear()
    secrets.hide(secret)
    written = way(secret)  # type: ignore[operator]
    assert written not in secrets.redact(written)


@pytest.mark.parametrize("letter", ["\\", "%25", "?", '\\"', "&#0", " ", "Ã"])
def test_a_hostile_answer_costs_no_time(letter: str) -> None:
    """Nothing that a service sends makes the search for secrets slow."""
    for secret in (*SECRETS, "\\" * 40, "%" * 40, "é" * 40, '\\"' * 20, " " * 40, "?é" * 20):
        secrets.hide(secret)
    began = time.process_time()
    secrets.redact(letter * (50_000 // len(letter)))
    assert time.process_time() - began < 10
