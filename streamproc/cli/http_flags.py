"""`-H`, `-X`, `--json`, `--auth`: the `http` table of the one http stage on the command line."""

from __future__ import annotations

import re
from collections.abc import Sequence

from streamproc.codec import decode_any
from streamproc.errors import DecodeError, UsageError
from streamproc.secrets import hide
from streamproc.types import JsonValue, Table

FLAGS = {"header": "-H", "method": "-X", "json": "--json", "auth": "--auth"}


def apply_http_flags(stages: Sequence[Table], given: Table) -> None:
    """Take the flags out of `given` and put them into the http stage. Raises `UsageError`."""
    flags = {name: value for name in FLAGS if (value := given.pop(name, None)) not in (None, ())}
    if not flags:
        return
    names = ", ".join(FLAGS[name] for name in flags)
    asking = [stage["http"] for stage in stages if "http" in stage]
    if len(asking) != 1:
        raise UsageError(
            f"{names}: for the one http stage among -e, there are {len(asking)}; with more of "
            "them, or with -c, write it into the pipeline file"
        )
    [http] = asking
    if "header" in flags:
        http["headers"] = _headers(flags["header"])
    if "method" in flags:
        http["method"] = flags["method"]
    if "json" in flags:
        http["json"] = _json(flags["json"])
    if "auth" in flags:
        http["auth"] = _auth(flags["auth"])


def _headers(texts: Sequence[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in map(_header, texts):
        if any(name.lower() == other.lower() for other in headers):
            raise UsageError(f"-H: {name} is given twice: write one, with both values in it")
        headers[name] = value
    return headers


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise UsageError("-H: expected 'Name: value', with a colon (what was given may be secret)")
    return name.strip(), _no_forgotten_braces("-H", value.strip())


def _no_forgotten_braces(flag: str, value: str) -> str:
    """What the shell did not fill, because of single quotes, nobody does. Raises `UsageError`."""
    if variable := re.search(r"(?:^|[ :])\$([A-Z_][A-Z0-9_]*)$", value):
        raise UsageError(
            f"{flag}: ${variable[1]} is sent as it is; did you mean ${{{variable[1]}}}?"
        )
    return value


def _json(text: str) -> JsonValue:
    try:
        body = decode_any(text.encode())
    except DecodeError as error:
        raise UsageError(
            f"--json {text}: {error.message}; expected JSON such as "
            '\'{"domain": "{email.domain}"}\''
        ) from None
    if body is None:
        raise UsageError("--json null: that is no body; leave it out, or write an object")
    return body


def _auth(text: str) -> dict[str, str]:
    scheme, colon, rest = text.partition(":")
    if not colon or not rest:
        raise UsageError("--auth: expected bearer:TOKEN or USER:PASSWORD; '${VAR}' keeps it secret")
    _no_forgotten_braces("--auth", rest)
    kind, value = ("bearer", rest) if scheme.lower() == "bearer" else ("basic", text)
    if "${" not in value:
        hide(value)
    return {kind: value}
