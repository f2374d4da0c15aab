"""What an input is that is no JSON Lines, told by its first bytes."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from streamproc.errors import InputError

_HEAD_BYTES = 16 * 1024
_LINES = 20  # of the head that are looked at

_MAGIC = (
    (b"\x1f\x8b", "compressed with gzip", "zcat"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "zstd -dc"),
    (b"BZh", "compressed with bzip2", "bzcat"),
    (b"\xfd7zXZ\x00", "compressed with xz", "xzcat"),
    (b"PK\x03\x04", "a zip archive", "unzip -p"),
    (b"\xff\xfe", "UTF-16", "iconv -f UTF-16 -t UTF-8"),
    (b"\xfe\xff", "UTF-16", "iconv -f UTF-16 -t UTF-8"),
    (b"{\x00", "UTF-16", "iconv -f UTF-16LE -t UTF-8"),
    (b"\x00{", "UTF-16", "iconv -f UTF-16BE -t UTF-8"),
)
_OR_FLAG = ", or read it with --input-format json"


def head_of(fd: int, offset: int) -> bytes:
    """The bytes of a file to look at; none if it cannot be read, which reading it will tell."""
    try:
        return os.pread(fd, _HEAD_BYTES, offset)
    except OSError:
        return b""


def refuse_others(name: str, head: bytes) -> None:
    """Raises `InputError` if `head`, the first bytes of `name`, is not of JSON Lines.

    It says through what the input has to be piped. One line that is wrong is a failed
    record and no reason: all that is seen has to look like the other format.
    """
    head = head[:_HEAD_BYTES]
    for magic, what, program in _MAGIC:
        if head.startswith(magic):
            raise _refusal(name, what, program)
    lines = [line.strip() for line in head.removeprefix(b"\xef\xbb\xbf").split(b"\n")[:_LINES]]
    first, *rest = [line for line in lines if line] or [b""]
    if _is_array(first, rest):
        raise _refusal(name, "one JSON array", "jq -c '.[]'", _OR_FLAG)
    if first == b"{" and rest and rest[0].startswith(b'"'):
        raise _refusal(name, "JSON over several lines", "jq -c .", _OR_FLAG)
    for separator, what, flag in ((b",", "CSV", "csv"), (b"\t", "TSV", "tsv"), (b";", "CSV", "")):
        if _is_table(first, rest, separator):
            flags = f"--i{flag}" if flag else "--icsv --ifs ';'"
            raise _refusal(name, what, f"mlr {flags} --ojsonl cat")


def _is_array(first: bytes, rest: Sequence[bytes]) -> bool:
    if not re.match(rb"\[\s*(\{|$)", first):
        return False
    return not first.endswith(b"]") or (first != b"[]" and not rest)


def _is_table(first: bytes, rest: Sequence[bytes], separator: bytes) -> bool:
    count = first.count(separator)
    if not count or not rest or any(line[:1] in (b"{", b"[") for line in (first, *rest)):
        return False
    whole = rest[:-1] or rest  # the last one may be cut off
    return all(line.count(separator) >= count for line in whole)


def _refusal(name: str, what: str, program: str, more: str = "") -> InputError:
    place = "stdin" if name == "<stdin>" else name
    if place == "stdin":
        return InputError(f"stdin is {what}: pipe it through {program} before streamproc{more}")
    return InputError(f"{name} is {what}: {program} {name} | streamproc ...{more}")
