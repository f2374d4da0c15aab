"""What is done to the records: the part of the settings that the output depends on."""

from __future__ import annotations

from typing import Any

import msgspec

from streamproc.codec import encode
from streamproc.config.settings import Settings
from streamproc.secrets import redact

# How it is done, which may be another way after a resume. And what connections look like.
_MANNER = {
    "timeout", "deadline", "retry", "breaker", "rate", "concurrency", "cache", "batch",
    "client", "tls", "max_body",
}  # fmt: skip


def identity(settings: Settings) -> str:
    """The same for settings that make the same of every record; secrets do not count."""
    from hashlib import sha256

    stages = msgspec.to_builtins(settings.stage, enc_hook=plain)
    mode = "annotate" if settings.on_error == "stop" else settings.on_error
    matters = [_matter(stages), mode, settings.max_line_bytes]
    if settings.skip or settings.sample != 1.0:  # a limit may be raised, and the run goes on
        matters += [settings.skip, float(settings.sample), settings.sample_seed]
    text = encode(matters).decode()
    return sha256(redact(text).encode()).hexdigest()


def plain(value: Any) -> Any:
    """A subclass of str, int or float as what it is a subclass of; a template as it is written."""
    if hasattr(value, "written"):
        return value.written
    return next(kind(value) for kind in (str, int, float) if isinstance(value, kind))


def _matter(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _matter(v) for k, v in value.items() if k not in _MANNER and v is not None}
    if isinstance(value, list | tuple):
        return [_matter(each) for each in value]
    return value
