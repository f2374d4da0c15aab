"""Line ⇄ record: the only place that parses and writes JSON."""

from streamproc.codec.decode import decode, decode_any, verbatim
from streamproc.codec.document import Document
from streamproc.codec.encode import encode
from streamproc.codec.failure import original_line
from streamproc.codec.on_error import Mode, OnError

__all__ = [
    "Document",
    "Mode",
    "OnError",
    "decode",
    "decode_any",
    "encode",
    "original_line",
    "verbatim",
]
