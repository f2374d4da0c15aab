"""Line ⇄ record: the only place that parses and writes JSON."""

from streamproc.codec.decode import (
    QUICK_BYTES,
    Unusual,
    decode,
    decode_any,
    decode_finite,
    decode_quickly,
    is_infinite_in,
    verbatim,
)
from streamproc.codec.document import Document
from streamproc.codec.encode import encode, encode_quickly
from streamproc.codec.failure import one_line, original_line
from streamproc.codec.line import line_of
from streamproc.codec.on_error import Mode, OnError
from streamproc.codec.outline import Outline
from streamproc.codec.shape import objects_bytes
from streamproc.codec.size import decoded_bytes
from streamproc.codec.stored import restore, retyped, store

__all__ = [
    "QUICK_BYTES",
    "Document",
    "Mode",
    "OnError",
    "Outline",
    "Unusual",
    "decode",
    "decode_any",
    "decode_finite",
    "decode_quickly",
    "decoded_bytes",
    "encode",
    "encode_quickly",
    "is_infinite_in",
    "line_of",
    "objects_bytes",
    "one_line",
    "original_line",
    "restore",
    "retyped",
    "store",
    "verbatim",
]
