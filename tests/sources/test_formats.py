"""Inputs that are no JSON Lines: told at once, or read when that is asked for."""

from __future__ import annotations

import asyncio
import bz2
import gzip
import io
import json
import lzma
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.errors import InputError
from streamproc.sources.file import LineSource
from streamproc.sources.formats import refuse_others
from streamproc.sources.json_values import JsonCutter
from streamproc.sources.stdin import CHUNK_BYTES
from tests.conftest import records

pytestmark = pytest.mark.forked
LINES = b'{"id":1,"x":19.90}\n{"id":2,"x":1e3}\n'
RECORDS = [json.loads(line) for line in LINES.splitlines()]
PRETTY = b"\n".join(json.dumps(record, indent=2).encode() for record in RECORDS)


def tar(data: bytes) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        member = tarfile.TarInfo("a.jsonl")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return made.getvalue()


def zipped(name: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(name, "<a/>")
    return made.getvalue()


OTHERS = {
    "a.gz": (gzip.compress(LINES), "compressed with gzip", "zcat"),
    "a.zst": (b"\x28\xb5\x2f\xfd" + LINES, "compressed with zstd", "zstd -dc"),
    "a.bz2": (bz2.compress(LINES), "compressed with bzip2", "bzcat"),
    "a.xz": (lzma.compress(LINES), "compressed with xz", "xzcat"),
    "a.zip": (b"PK\x03\x04" + LINES, "a zip archive", "unzip -p"),
    "a.lz4": (b"\x04\x22\x4d\x18" + LINES, "compressed with lz4", "lz4 -dc"),
    "a.tar": (tar(LINES), "a tar archive", "tar -xOf"),
    "a.yaml": (b"---\n- id: 1\n  name: a\n- id: 2\n", "YAML", "yq -o json -I 0"),
    "b.yaml": (b"# leads\nid: 1\ntags:\n  - x\n", "YAML", "yq -o json -I 0"),
    "array": (json.dumps(RECORDS).encode(), "one JSON array", "jq -c '.[]'"),
    "array2": (json.dumps(RECORDS, indent=1).encode(), "one JSON array", "--input-format json"),
    "pretty": (PRETTY, "JSON over several lines", "jq -c ."),
    "csv": (b"id,name\n1,Ada\n2,Bob\n", "CSV", "mlr --icsv --ojsonl cat"),
    "tsv": (b"id\tname\n1\tAda\n", "TSV", "mlr --itsv"),
    "semicolons": (b"id;name\n1;Ada\n", "CSV", "--ifs ';'"),
    "utf16": (LINES.decode().encode("utf-16"), "UTF-16", "iconv -f UTF-16"),
    "utf16le": (LINES.decode().encode("utf-16-le"), "UTF-16", "iconv -f UTF-16LE"),
    "utf16be": (LINES.decode().encode("utf-16-be"), "UTF-16", "iconv -f UTF-16BE"),
}
NO_LINES = {
    "a.xml": (b'<?xml version="1.0"?>\n<a><b/></a>\n', "XML", "yq -p xml"),
    "b.xml": (b"<leads>\n<lead/>\n</leads>\n", "XML", "yq -p xml"),
    "a.parquet": (b"PAR1\x15\x04" + LINES, "Parquet", "duckdb"),
    "a.avro": (b"Obj\x01\x02" + LINES, "Avro", "avro-tools tojson"),
    "a.arrow": (b"ARROW1\0\0" + LINES, "an Arrow file", ""),
    "a.db": (b"SQLite format 3\0" + LINES, "an SQLite database", "sqlite3 -json"),
    "a.pdf": (b"%PDF-1.4\n" + LINES, "a PDF document", ""),
    "a.xlsx": (zipped("[Content_Types].xml"), "an Office document", ""),
    "a.xls": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + LINES, "an Office document", ""),
}


@pytest.mark.parametrize("name", NO_LINES)
def test_what_is_no_text_is_told(name: str) -> None:
    """There is no filter for it: a file has to be made of it first, and with what."""
    data, what, program = NO_LINES[name]
    for place in (name, "stdin"):
        with pytest.raises(InputError) as raised:
            refuse_others("<stdin>" if place == "stdin" else place, data)
        assert str(raised.value).startswith(f"{place} is {what}: make JSON Lines of it first")
        assert program in str(raised.value)


def test_a_page_is_told() -> None:
    """What a service says instead of the data that was asked for."""
    for page in (b"<!DOCTYPE html><title>Sorry</title>", b"<html>\n<body>no</body>\n</html>\n"):
        with pytest.raises(InputError, match=r"^stdin is HTML, maybe the page"):
            refuse_others("<stdin>", page)


def test_a_pipeline_file_is_told() -> None:
    """By its name; a file of records may have that, too."""
    with pytest.raises(InputError, match="is a pipeline file: it needs -c"):
        refuse_others("p.toml", b"concurrency = 3\n")
    refuse_others("p.toml", b'{"a":1}\n')


@pytest.mark.parametrize("name", OTHERS)
def test_another_format_is_told(name: str) -> None:
    """What it is, and through what to pipe it."""
    data, what, program = OTHERS[name]
    with pytest.raises(InputError) as raised:
        refuse_others(name, data)
    assert str(raised.value).startswith(f"{name} is {what}: ")
    assert program in str(raised.value)
    with pytest.raises(InputError, match=r"^stdin is .*: pipe it through .* before streamproc"):
        refuse_others("<stdin>", data)


def test_another_format_is_told_where_any_json_is_read(run: Any, folder: Path) -> None:
    """`--input-format json` reads arrays and records over several lines, and no gzip either."""
    for name, (data, what, _) in OTHERS.items():
        if what in ("one JSON array", "JSON over several lines"):
            refuse_others(name, data, any_json=True)
        else:
            with pytest.raises(InputError, match=what):
                refuse_others(name, data, any_json=True)
    (folder / "a.gz").write_bytes(OTHERS["a.gz"][0])
    for where in ({}, {"stdin": OTHERS["a.gz"][0]}):
        done = run("-e", "none", "--input-format", "json", *([] if where else ["a.gz"]), **where)
        assert (done.returncode, done.stdout) == (66, b"")
        assert b"is compressed with gzip" in done.stderr


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\n", b"{", b"{}", b"bad\n", b"bad, worse\n", LINES, b"\xef\xbb\xbf" + LINES,
        b"[1]\n" + LINES, b'[{"a":1}]\n' + LINES, b"[]\n", b"bad, line\n" + LINES,
        b"<oops>\n", b"<oops>\n" + LINES, b"<13>Oct 11 su: failed\n" * 3,
        b"a: 1\n", b"a: 1\n" + LINES,
        b"ORCHID\n", b"{\n" + LINES, b'"a,b"\n' + LINES, b"not, json\nno comma\n",
    ],
)  # fmt: skip
def test_a_wrong_line_is_no_other_format(data: bytes) -> None:
    """A record that fails does not end the run."""
    refuse_others("x", data)


@pytest.mark.parametrize("piped", [False, True])
@pytest.mark.parametrize("name", ["a.gz", "pretty"])
def test_before_anything_is_written(run: Any, folder: Path, name: str, piped: bool) -> None:
    """Exit 66 and one line; a file is looked at before the output is opened."""
    (folder / name).write_bytes(OTHERS[name][0])
    (folder / "out").write_bytes(b"precious")
    where = {"stdin": OTHERS[name][0]} if piped else {}
    done = run("-e", "none", *([] if piped else ["-o", "out", name]), **where)
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (66, b"", 1)
    assert (folder / "out").read_bytes() == b"precious"


@pytest.mark.parametrize("name", ["array", "array2", "pretty"])
def test_json_is_read_when_asked_for(run: Any, folder: Path, name: str) -> None:
    """Arrays and records over several lines become lines."""
    (folder / name).write_bytes(OTHERS[name][0])
    done = run("-e", "none", "--input-format", "json", name)
    assert (done.returncode, records(done.stdout)) == (0, RECORDS)
    assert run("--input-format", "json", "--checkpoint", "c", "-o", "o", name).returncode == 2


def test_bytes_stay_and_wrong_values_fail(run: Any) -> None:
    """Line breaks go, spelling stays; what is no record fails alone; a cut array is told."""
    data = b'[ {"a": 1.50,\n  "b": "x\\n\\"]"}, 5, oops,\n{"c": [1,\n\n 2]}, {"d": "\n"}'
    done = run("-e", "none", "--input-format", "json", stdin=data)
    first, number, word, array, torn, end = done.stdout.splitlines()
    assert first == b'{"a": 1.50,"b": "x\\n\\"]"}'
    assert array == b'{"c": [1,2]}'
    for line, kind in ((number, b"not_an_object"), (word, b"malformed"), (torn, b"malformed")):
        assert kind in line
    assert b"ends inside of an array" in end
    long = b'[{"a":"%b"},{"a":1}]' % (b"x" * 100)
    done = run("-e", "none", "--input-format", "json", "--max-line-bytes", "50", stdin=long)
    assert b"too_long" in done.stdout
    assert done.stdout.endswith(b'{"a":1}\n')


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.lists(st.dictionaries(st.text(), JSON, max_size=3), max_size=4),
    st.booleans(), st.sampled_from([None, 0, 2]), st.integers(1, 9),
    st.sampled_from([b"", b"\xef\xbb\xbf"]),
)  # fmt: skip
def test_values_come_out_as_they_went_in(
    given_records: list[Any], as_array: bool, indent: int | None, step: int, mark: bytes
) -> None:
    """Whatever the records, the layout and where chunks end, also inside of a byte order mark."""
    parts = [json.dumps(each, indent=indent) for each in given_records]
    text = json.dumps(given_records, indent=indent) if as_array else " ".join(parts)
    cutter = JsonCutter("x", 1 << 20)
    data = mark + text.encode()
    found = [each for at in range(0, len(data), step) for each in cutter.feed(data[at : at + step])]
    found += cutter.finish()
    assert [json.loads(line) for batch, _ in found for line in batch.lines] == given_records
    assert all(failed is None for _, failed in found)


def test_what_is_read_at_once_has_few_values(tmp_path: Path) -> None:
    """A value may have two bytes: all of a large chunk would keep the loop busy."""
    (tmp_path / "data").write_bytes(b"{}" * 60_000)

    async def counts() -> list[int]:
        async with LineSource([str(tmp_path / "data")], cutter_of=JsonCutter) as source:
            found = []
            while (received := await source.receive()) is not None:
                found.append(len(received[0]))
            return found

    found = asyncio.run(counts())
    assert (sum(found), max(found)) == (60_000, JsonCutter.chunk_bytes // 2)
    assert JsonCutter.chunk_bytes < CHUNK_BYTES


@pytest.mark.parametrize("ending", [JsonCutter.finish, JsonCutter.residue])
def test_half_a_byte_order_mark_is_no_record(ending: Any) -> None:
    """It is told, not passed over."""
    cutter = JsonCutter("x", 1 << 20)
    assert cutter.feed(b"\xef\xbb") == []
    found = ending(cutter)
    batch, _ = found[0] if isinstance(found, list) else found
    assert batch.lines == [b"\xef\xbb"]


def test_a_string_that_never_ends_keeps_its_line_breaks() -> None:
    """As any string does: they are what is wrong with it."""
    cutter = JsonCutter("x", 1 << 20)
    assert cutter.feed(b'{\n  "a":\n  "b\n c') == []
    ((batch, _),) = cutter.finish()
    assert batch.lines == [b'{"a":"b\r c']
