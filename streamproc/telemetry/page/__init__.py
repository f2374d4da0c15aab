"""The page and the report: each is one file of HTML, with its style and its script inside."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from importlib.resources import files
from typing import NamedTuple


class Page(NamedTuple):
    """A page, and the Content-Security-Policy that lets its own style and script be."""

    html: str
    policy: str


def page(template: str, script: str) -> Page:
    """Made of the files of these names, the style and what draws."""
    style = _text("style.css")
    code = f'"use strict";\n{_text("draw.js")}\n{_text(script)}'
    html = _text(template).replace("{{style}}", style).replace("{{script}}", code)
    policy = (
        f"default-src 'none'; script-src {_hash(code)}; style-src {_hash(style)}; "
        "img-src data:; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'"
    )
    return Page(html.replace("{{policy}}", policy), policy)


def _text(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
