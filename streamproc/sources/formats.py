"""What an input is that is no JSON Lines, told by its first bytes."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from streamproc.errors import InputError
from streamproc.record import BOM

_HEAD_BYTES = 16 * 1024
_LINES = 20  # of the head that are looked at

_MAGIC = (  # what it begins with, what that is, what makes lines of it
    (b"\x1f\x8b", "compressed with gzip", "zcat"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "zstd -dc"),
    (b"BZh", "compressed with bzip2", "bzcat"),
    (b"\xfd7zXZ\x00", "compressed with xz", "xzcat"),
    (b"\x04\x22\x4d\x18", "compressed with lz4", "lz4 -dc"),
    (b"PK\x03\x04", "a zip archive", "unzip -p"),
    (b"\xff\xfe", "UTF-16", "iconv -f UTF-16 -t UTF-8"),
    (b"\xfe\xff", "UTF-16", "iconv -f UTF-16 -t UTF-8"),
    (b"{\x00", "UTF-16", "iconv -f UTF-16LE -t UTF-8"),
    (b"\x00{", "UTF-16", "iconv -f UTF-16BE -t UTF-8"),
)
_ON_STDIN = {"unzip -p": "funzip", "tar -xOf": "tar -xOf -"}
_TABLES = (  # what has to be read as a file, and with what
    (b"PAR1", "Parquet", """duckdb -jsonlines -c "FROM '{name}'\""""),
    (b"Obj\x01", "Avro", "avro-tools tojson {name}"),
    (b"ARROW1\x00\x00", "an Arrow file", ""),
    (b"SQLite format 3\x00", "an SQLite database",
     "sqlite3 -json {name} 'SELECT * FROM t' | jq -c '.[]'"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Office document", ""),
    (b"%PDF-", "a PDF document", ""),
)  # fmt: skip
_OFFICE = (b"[Content_Types].xml", b"_rels/", b"docProps/", b"xl/", b"mimetype")  # in a zip archive
_TAR_AT = 257  # of a tar archive's magic
_YAML = rb"\s*(?:-(?:\s|$)|#|[\w.-]+:(?:\s|$))|---(?:\s|$)|%YAML "
_OR_FLAG = ", or read it with --input-format json"


def head_of(fd: int, offset: int) -> bytes:
    """The bytes of a file to look at; none if it cannot be read, which reading it will tell."""
    try:
        return os.pread(fd, _HEAD_BYTES, offset)
    except OSError:
        return b""


def refuse_others(name: str, head: bytes, *, any_json: bool = False) -> None:
    """Raises `InputError` if `head`, the first bytes of `name`, is not of JSON Lines.

    With `any_json` arrays, and records over several lines, may be there as well. It says through
    what the input has to be piped. One line that is wrong is a failed record and no reason: all
    that is seen has to look like the other format.
    """
    head = head[:_HEAD_BYTES]
    _refuse_binary(name, head)
    lines = [line.strip() for line in head.removeprefix(BOM).split(b"\n")[:_LINES]]
    first, *rest = [line for line in lines if line] or [b""]
    if any_json and first.startswith((b"[", b"{")):
        return
    if _is_array(first, rest):
        raise _refusal(name, "one JSON array", "jq -c '.[]'", _OR_FLAG)
    if first == b"{" and rest and rest[0].startswith(b'"'):
        raise _refusal(name, "JSON over several lines", "jq -c .", _OR_FLAG)
    if name.endswith(".toml") and not first.startswith(b"{"):
        raise InputError(f"{name} is a pipeline file: it needs -c, as in streamproc -c {name}")
    for separator, what, flag in ((b",", "CSV", "csv"), (b"\t", "TSV", "tsv"), (b";", "CSV", "")):
        if _is_table(first, rest, separator):
            flags = f"--i{flag}" if flag else "--icsv --ifs ';'"
            raise _refusal(name, what, f"mlr {flags} --ojsonl cat")
    if first.startswith(b"<") and re.match(rb"(?i)<(?:!doctype html|html)\b", first):
        raise InputError(f"{_place(name)} is HTML, maybe the page of an error: expected JSON Lines")
    if _is_xml(first, rest):
        raise _table(name, "XML", "yq -p xml -o json -I 0 '.path.to.records[]' {name}")
    may_be_yaml = rest and not first.startswith(b"{")
    if may_be_yaml and all(re.match(_YAML, line) for line in (first, *(rest[:-1] or rest))):
        raise _refusal(name, "YAML", "yq -o json -I 0 '.[]'")


def _refuse_binary(name: str, head: bytes) -> None:
    if head.startswith(b"PK\x03\x04") and head.startswith(_OFFICE, 30):
        raise _table(name, "an Office document", "")
    if head.startswith(b"ustar", _TAR_AT):
        raise _refusal(name, "a tar archive", "tar -xOf")
    for magic, what, program in _MAGIC:
        if head.startswith(magic):
            raise _refusal(name, what, program)
    for magic, what, program in _TABLES:
        if head.startswith(magic):
            raise _table(name, what, program)


def _is_array(first: bytes, rest: Sequence[bytes]) -> bool:
    if not (first.startswith(b"[") and re.match(rb"\[\s*(\{|$)", first)):
        return False
    return not first.endswith(b"]") or (first != b"[]" and not rest)


def _is_table(first: bytes, rest: Sequence[bytes], separator: bytes) -> bool:
    count = first.count(separator)
    if not count or not rest or any(line[:1] in (b"{", b"[") for line in (first, *rest)):
        return False
    whole = rest[:-1] or rest  # the last one may be cut off
    return all(line.count(separator) >= count for line in whole)


def _is_xml(first: bytes, rest: Sequence[bytes]) -> bool:
    if any(line[:1] in (b"{", b"[") for line in rest):
        return False
    return first.startswith(b"<?xml") or (
        len(rest) > 0 and re.match(rb"<[A-Za-z!]", first) is not None
    )


def _refusal(name: str, what: str, program: str, more: str = "") -> InputError:
    if name == "<stdin>":
        through = _ON_STDIN.get(program, program)
        return InputError(f"stdin is {what}: pipe it through {through} before streamproc{more}")
    return InputError(f"{name} is {what}: {program} {name} | streamproc ...{more}")


def _table(name: str, what: str, program: str) -> InputError:
    file = "FILE" if name == "<stdin>" else name
    how = f", for instance with {program.format(name=file)}" if program else ""
    return InputError(f"{_place(name)} is {what}: make JSON Lines of it first{how}")


def _place(name: str) -> str:
    return "stdin" if name == "<stdin>" else name
