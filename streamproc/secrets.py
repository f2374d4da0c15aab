"""What must never be printed: values that came from the environment, in all their spellings."""

from __future__ import annotations

HIDDEN = "***"
_SHORTEST = 4  # hiding every "1" would make messages unreadable and protect nothing

_hidden: list[str] = []  # longest first, so that no rest of a longer one stays


def hide(value: str) -> None:
    """From now on `redact` takes `value` out of messages, percent-encoded and base64 too."""
    from base64 import b64encode
    from urllib.parse import quote, quote_plus

    spellings = {value, value.strip(), quote(value, safe=""), quote_plus(value), repr(value)[1:-1]}
    spellings.add(b64encode(value.encode("utf-8", "surrogateescape")).decode())
    spellings |= {part for part in value.split() if len(part) > 2 * _SHORTEST}
    known = {each for each in spellings if len(each) >= _SHORTEST}.union(_hidden)
    _hidden[:] = sorted(known, key=len, reverse=True)


def redact(text: str) -> str:
    """`text` without what is hidden."""
    for value in _hidden:
        if value in text:
            text = text.replace(value, HIDDEN)
    return text
