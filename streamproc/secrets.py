"""What must never be printed: values that came from the environment, in all their spellings.

A service echoes what it was sent percent-encoded, as JSON or as HTML, and each of them
leaves other characters as they are. So a secret is looked for character by character, in any
mixture of these. Only base64 changes it as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from streamproc.types import JsonValue

HIDDEN = "***"
_SHORTEST = 4  # hiding every "1" would make messages unreadable and protect nothing
_MASK = "\ue000"
_WIDEST = 28  # characters of the longest spelling of one character
_PLAIN = r"[A-Za-z0-9._~-]+"  # what they all leave as it is
_SPELT_ALIKE = r"(?s:[A-Za-z0-9._~-]+|\\+|.)"
_ENTITIES = {"&": "amp", "<": "lt", ">": "gt", '"': "quot", "'": "apos"}
_USERINFO = r"(?:(?<=://)|(?<=^//))[^/?#\s\"'<>@]*(?:@[^/?#\s\"'<>@]*)*@"
_LETTERS = {"\n": "n", "\r": "r", "\t": "t", "\b": "b", "\f": "f"}

_hidden: dict[str, tuple[str, re.Pattern[str]]] = {}
"""By value, longest first, so that no rest of a longer one stays: a part of it that has one
spelling only, and all spellings."""


def hide(value: str) -> None:
    """From now on `redact` takes `value` out of messages, however it is written."""
    from base64 import b64encode, urlsafe_b64encode

    raw = value.encode("utf-8", "surrogateescape")
    coded = {encode(raw).decode().rstrip("=") for encode in (b64encode, urlsafe_b64encode)}
    parts = {part for part in value.split() if len(part) > 2 * _SHORTEST}
    hide_all(each for each in {value, value.strip()} | coded | parts if len(each) >= _SHORTEST)


def hidden() -> list[str]:
    """All that is hidden, for another process."""
    return list(_hidden)


def hide_all(values: Iterable[str]) -> None:
    """Hide what another process hides."""
    for value in set(values) - _hidden.keys():
        anchor = max(re.findall(_PLAIN, value), key=len, default="")
        pattern = "".join(_run(token) for token in re.findall(_SPELT_ALIKE, value))
        _hidden[value] = anchor, re.compile(pattern)
    known = sorted(_hidden.items(), key=lambda item: len(item[0]), reverse=True)
    _hidden.clear()
    _hidden.update(known)


def redact(text: str) -> str:
    """`text` without what is hidden, and without user and password in addresses."""
    for anchor, pattern in _hidden.values():
        if anchor in text:
            text = pattern.sub(HIDDEN, text)
    if "//" in text and "@" in text:
        text = re.sub(_USERINFO, f"{HIDDEN}@", text)
    return text


def redact_all(value: JsonValue) -> JsonValue:
    """The same for every string in `value`, which is JSON; names of members are strings, too."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {redact(name): redact_all(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [redact_all(each) for each in value]
    return value


def excerpt(data: bytes, most: int) -> str:
    """The first `most` characters of `data`, with nothing in them of what is hidden.

    What is cut in two would not be found any more: it is taken out before that, and the
    places of the characters stay until then.
    """
    longest = next(iter(_hidden), "")
    window = most + len(longest) * _WIDEST
    text = data[: 4 * window].decode("utf-8", "replace")
    is_cut = len(text) > most
    text = text[:window]
    for anchor, pattern in _hidden.values():
        if anchor in text:
            text = pattern.sub(lambda match: _MASK * len(match[0]), text)
    return re.sub(f"{_MASK}+", HIDDEN, text[:most]) + ("…" if is_cut else "")


def _run(token: str) -> str:
    """A pattern for plain characters, for some backslashes, or for one other character."""
    if re.fullmatch(_PLAIN, token):
        return re.escape(token)
    if token[0] == "\\":
        n = len(token)
        octets = r"%(?:25){0,2}5[Cc]"
        return rf"(?:\\{{{4 * n}}}|\\{{{2 * n}}}|\\{{{n}}}|(?:{octets}){{{n}}})"
    found = _spellings(token)
    if not token.isascii():
        found += ["[?\ufffd]", _misread(token)]
    return f"(?:{'|'.join(found)})"


def _spellings(character: str) -> list[str]:
    """Of one that has to be escaped somewhere: in a URL, in JSON, in HTML, by `repr`."""
    code = ord(character)
    raw = character.encode("utf-8", "surrogateescape")
    units = character.encode("utf-16-be", "surrogatepass").hex()
    found = [
        "(?i:" + "".join(f"%(?:25){{0,2}}{octet:02x}" for octet in raw) + ")",
        "(?i:" + "".join(rf"\\{{1,3}}u{units[k : k + 4]}" for k in range(0, len(units), 4)) + ")",
        rf"(?i:\\{{1,2}}x{code:02x}|\\{{1,2}}u{code:08x})",
        "".join(rf"\\{{1,2}}x{octet:02x}" for octet in raw),
        rf"(?i:&(?:#0*{code}|#x0*{code:x}|{_ENTITIES.get(character, 'no')});)",
    ]
    if character in _LETTERS:
        found.append(r"\\{1,3}" + _LETTERS[character])
    if character in " +":
        found.append("[ +]")  # in a query one is written as the other
    return [*found, r"\\{0,3}" + re.escape(character)]  # last: some of the others begin with it


def _misread(character: str) -> str:
    """Its bytes read as Latin-1."""
    octets = character.encode("utf-8", "surrogateescape").decode("latin-1")
    return "".join(f"(?:{'|'.join(_spellings(octet))})" for octet in octets)
