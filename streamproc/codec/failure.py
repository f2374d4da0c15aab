"""What a failed record is written as, and the way back to its original line."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Any

from streamproc.codec import splice
from streamproc.codec.decode import WHITESPACE, decode
from streamproc.codec.document import Document
from streamproc.codec.encode import encode
from streamproc.errors import DecodeError
from streamproc.record import Failed

ERROR = "_error"


def as_annotated(failed: Failed, raw: bytes | None, document: Document | None) -> bytes:
    """The line for stdout: what the stages added so far, plus `_error`.

    Without a document, `raw` was no record (None: it was too long to keep) and stands
    inside `_error`. `_error.added` names the members that stages added before the
    failure; where they changed others, `_error.raw` keeps the original.
    """
    error = _members(failed)
    if document is None:
        if raw is not None:
            error |= _raw(raw)
        return encode({ERROR: error})
    if document.added is None and raw is not None:
        error |= _raw(raw)
    elif document.added:
        error["added"] = document.added
    return splice.append(document.line, bool(document.given), encode({ERROR: error}))


def as_dead_letter(failed: Failed, raw: bytes | None) -> bytes:
    """The line for the dead-letter file: `_error`, and the original without its newline."""
    return encode({ERROR: _members(failed)} | ({} if raw is None else _raw(raw)))


def original_line(line: bytes) -> bytes | None:
    """The original behind a dead letter or an annotated line, without newline.

    None if the line has no `_error`. Raises `DecodeError` if it is no JSON object, or
    if the original was too long to be kept (kind `too_long`).
    """
    fields = decode(line)
    if ERROR not in fields:
        return None
    if next(iter(fields)) == ERROR:
        holder = fields if fields.keys() & {"raw", "raw_base64"} else fields[ERROR]
    else:
        holder = fields[ERROR]
    return original_of_error(line, holder, fields[ERROR])


def original_of_error(line: bytes, holder: Any, error: Any) -> bytes:
    """See `original_line`; `holder` is the object that may carry `raw`."""
    if isinstance(holder, dict) and isinstance(holder.get("raw"), str):
        return str(holder["raw"]).encode("utf-8", "surrogatepass")
    if isinstance(holder, dict) and isinstance(holder.get("raw_base64"), str):
        return b64decode(holder["raw_base64"])
    if isinstance(error, dict) and error.get("kind") == "too_long":
        where = f"line {error.get('line')} of {error.get('file')}"
        raise DecodeError("too_long", f"{where} was too long to be kept")
    added = error.get("added") if isinstance(error, dict) else None
    extra = {ERROR, *(added if isinstance(added, list) else ())}
    return _without_tail(line.strip(WHITESPACE), extra)


def _without_tail(record: bytes, extra: set[str]) -> bytes:
    """`record` without the members `extra`; what is left keeps its bytes if they came last."""
    found = splice.members(record)
    kept = [m for m in found if m.name not in extra]
    tail = splice.join([m for m in found if m.name in extra])
    if kept and record.endswith(b"," + tail[1:]):
        return record[: -len(tail)] + b"}"
    return splice.join(kept)


def _members(failed: Failed) -> dict[str, Any]:
    return {
        "stage": failed.stage,
        "kind": failed.kind,
        "message": failed.message,
        "attempts": failed.attempts,
    } | failed.details


def _raw(raw: bytes) -> dict[str, str]:
    try:
        return {"raw": raw.decode("utf-8")}
    except UnicodeDecodeError:
        return {"raw_base64": b64encode(raw).decode("ascii")}
