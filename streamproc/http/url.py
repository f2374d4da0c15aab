"""URL templates: a record may fill a path segment or a query value, and nothing else.

Never the host, unless `allow_hosts` lists it, and scheme and port are those of that list. Values
are percent-encoded (RFC 3986), and what would climb out of its segment is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from urllib.parse import quote

from streamproc.errors import RecordError
from streamproc.http.contract import Target
from streamproc.http.host import listed, origin, placed, split
from streamproc.http.template import Template, text_of
from streamproc.paths import Path, value_of
from streamproc.types import Record

_UNRESERVED = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9._~-]*").fullmatch
_RESERVED = re.compile(r"[^A-Za-z0-9._~-]").findall
_AUTHORITY = re.compile(r"(https?)://([^/?#@{}\s]+)(?=[/?]|$)", re.IGNORECASE)
_SEPARATORS = re.compile(r"[/\\]")
_DOTS = (".", "..")
_LARGE = 1 << 63  # of larger integers `text_of` knows how they are written
_KEEP = "/?&=%:;,@!$'()*+~[]-._"  # of a URL that a record brings whole

Render = Callable[[Record], tuple[Target, str]]


class Url:
    """A URL template, checked. `render` gives target and path for a record."""

    def __init__(
        self,
        url: Template,
        query: Mapping[str, Template],
        allow_hosts: tuple[str, ...] = (),
        auth_hosts: tuple[str, ...] = (),
    ) -> None:
        """Raises ValueError: why this URL is no good."""
        self.allow_hosts = listed(allow_hosts)
        named = tuple(each for each in self.allow_hosts if not each.is_pattern)
        self.auth_hosts = named + listed(auth_hosts, "auth_hosts")
        self._whole: Template | None = None
        parts: list[str | Path] = list(url.parts)
        first = parts[0] if isinstance(parts[0], str) else ""
        match = _AUTHORITY.match(first)
        if match and not (match.end() == len(first) and len(parts) > 1):
            self.target: Target | None = Target(*origin(split(match[0])))
            parts[0] = first[match.end() :]
        else:
            if "@" in first.partition("://")[2].partition("/")[0]:
                raise ValueError("no user and password in a URL: use auth")
            if not self.allow_hosts:
                raise ValueError(
                    "expected http://host/... or https://host/...; a record may name the host "
                    "only if allow_hosts lists it"
                )
            self.target, self._whole = None, url
        if "#" in "".join(part for part in parts if isinstance(part, str)):
            raise ValueError("no #fragment: it is never sent")
        self._query = query
        self._parts = _with_query(parts, query) if self.target else []
        self._render = self._render_whole if self.target is None else self._compile(self.target)

    @property
    def render(self) -> Render:
        """Gives where to, and the path with its query.

        Raises `MissingFieldError`, `RecordError`.
        """
        return self._render

    def is_trusted(self, target: Target) -> bool:
        """Whether credentials may go there: the pipeline file says so, and no wildcard."""
        at = target.scheme, target.host, target.port
        return not target.is_from_record or any(each.matches(at) for each in self.auth_hosts)

    def _compile(self, target: Target) -> Render:
        """The usual case, one field, in few steps."""
        is_single = sum(isinstance(part, tuple) for part in self._parts) == 1
        if not is_single:
            return lambda fields: (target, self._render_path(fields))
        k = next(k for k, part in enumerate(self._parts) if isinstance(part, tuple))
        path = self._parts[k]
        assert isinstance(path, tuple)
        before = "".join(part for part in self._parts[:k] if isinstance(part, str))
        after = "".join(part for part in self._parts[k + 1 :] if isinstance(part, str))
        if before[-1:] == "." or after[:1] == ".":
            return lambda fields: (target, self._render_path(fields))

        name, is_nested = path[0], len(path) > 1

        def render(fields: Record) -> tuple[Target, str]:
            value = value_of(fields, path) if is_nested else fields.get(name)
            if type(value) is int and -_LARGE < value < _LARGE:  # nothing in it is to be encoded
                return target, f"{before}{value}{after}"
            text = value if type(value) is str and value else text_of(fields, path)
            if _UNRESERVED(text) is None:
                text = _encoded(text, path)
            return target, before + text + after

        return render

    def _render_path(self, fields: Record) -> str:
        out = []
        for part in self._parts:
            if isinstance(part, str):
                out.append(part)
            else:
                text = text_of(fields, part)
                out.append(text if _UNRESERVED(text) else _encoded(text, part))
        path = "".join(out)
        if any(segment in _DOTS for segment in path.partition("?")[0].split("/")):
            raise RecordError("missing_field", "the fields make a path with a segment of dots")
        return path

    def _render_whole(self, fields: Record) -> tuple[Target, str]:
        assert self._whole is not None
        text = "".join(
            part if isinstance(part, str) else self._piece(k, part, fields)
            for k, part in enumerate(self._whole.parts)
        )
        try:
            url = split(text)
            target = Target(*placed(origin(url), self.allow_hosts), is_from_record=True)
        except ValueError as error:
            raise RecordError("missing_field", f"the record gives no URL: {error}") from None
        path = quote(url.path or "/", safe=_KEEP)
        if any(segment in _DOTS for segment in path.split("/")):
            raise RecordError("missing_field", "the record's URL has a segment of dots")
        pairs = [quote(url.query, safe=_KEEP)] if url.query else []
        for name, template in self._query.items():
            pairs.append(f"{quote(name, safe='')}={quote(template.fill(fields), safe='')}")
        return target, "?".join(filter(None, (path, "&".join(pairs))))

    def _piece(self, k: int, path: Path, fields: Record) -> str:
        text = text_of(fields, path)
        if k == 0:
            return text.strip()  # the URL as a whole, or its first part
        literal = self._whole.parts[k - 1] if self._whole else ""
        in_host = isinstance(literal, str) and literal.endswith("://")
        return text if in_host and re.fullmatch(r"[A-Za-z0-9.:-]+", text) else _encoded(text, path)


def _with_query(parts: list[str | Path], query: Mapping[str, Template]) -> list[str | Path]:
    """The parts of path and query, the query of the settings appended to that of the URL."""
    text = "".join(part for part in parts if isinstance(part, str))
    if isinstance(parts[0], str) and not parts[0].startswith("/"):
        parts = ["/" + parts[0], *parts[1:]]
    mark = "&" if "?" in text else "?"
    out = [quote(p, safe=_KEEP) if isinstance(p, str) else p for p in parts]
    for name, template in query.items():
        out.append(f"{mark}{quote(name, safe='')}=")
        mark = "&"
        out += [quote(p, safe="") if isinstance(p, str) else p for p in template.parts]
    joined: list[str | Path] = []
    for part in out:
        if isinstance(part, str) and joined and isinstance(joined[-1], str):
            joined[-1] += part
        elif part != "":
            joined.append(part)
    return joined


def _encoded(text: str, path: Path) -> str:
    if "/" in text or "\\" in text:
        climbs = any(segment in _DOTS for segment in _SEPARATORS.split(text))
    else:
        climbs = text in _DOTS
    if climbs:
        name = ".".join(path)
        raise RecordError("missing_field", f"the field {name} would climb out of its URL: {text!r}")
    if text.isascii():
        # % first: what the others turn into must stay as it is
        for character in sorted(set(_RESERVED(text)), key="%".__ne__):
            text = text.replace(character, f"%{ord(character):02X}")
        return text
    try:
        return quote(text, safe="")
    except UnicodeEncodeError:
        name = ".".join(path)
        raise RecordError("missing_field", f"the field {name} has a lone surrogate") from None
