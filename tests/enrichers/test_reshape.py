"""`select` and `filter`: reshaping in JMESPath, bytes kept where they can be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from streamproc.attendance import Watch
from streamproc.codec import Document
from streamproc.enrichers.reshape import FilterEnricher, SelectEnricher

pytestmark = pytest.mark.forked
LINE = (
    b'{"id": 19.90, "n":1e3, "big":12345678901234567890123, '
    b'"a": {"b": [ 1.0, "\\u00e9" ], "c":null}, "items":[{"x":1.50},{"x":2}], "id2":7, "n": 2.0}'
)


def selected(text: str, line: bytes = LINE) -> list[bytes]:
    """The lines that a record becomes."""
    document = Document(line)
    value = SelectEnricher(text, Watch()).call(document.fields)
    values = value if isinstance(value, list) else [] if value is None else [value]
    return [document.replace(each).line for each in values]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("{id: id, total: n, big: big}", b'{"id":19.90,"total":2.0,"big":12345678901234567890123}'),
        ("{l: a.b, m: a.c, n: a.x.y}", b'{"l":[ 1.0, "\\u00e9" ],"m":null,"n":null}'),
        ("{whole: a}", b'{"whole":{"b": [ 1.0, "\\u00e9" ], "c":null}}'),
        ("a", b'{"b": [ 1.0, "\\u00e9" ], "c":null}'),
        ("{count: length(items), first: items[0].x}", b'{"count":2,"first":1.5}'),
        ('{"a key": id, me: @.id2}', b'{"a key":19.90,"me":7}'),
        ("@", LINE),
    ],
)  # fmt: skip
def test_what_is_taken_over_keeps_its_bytes(text: str, wanted: bytes) -> None:
    """Plain paths do, at any depth and under any name; what is computed is written anew."""
    assert selected(text) == [wanted]


def test_lists_fan_out_and_null_filters() -> None:
    assert selected("items") == [b'{"x":1.5}', b'{"x":2}']
    assert selected("items[?x > `1.8`].{y: x}") == [b'{"y":2}']
    assert selected("nothing") == []


def test_filter_keeps_the_record_as_it_is() -> None:
    """White space, duplicates and all."""
    document = Document(LINE)
    assert document.replace(FilterEnricher("id2 == `7`", Watch()).call(document.fields)) is document
    assert FilterEnricher("a.c", Watch()).call(document.fields) is None


def test_on_the_command_line(run: Any, folder: Path) -> None:
    """`KIND:...` is a kind before it is a module; stages before and behind see the same record."""
    select = "select:{id: id, d: enrichment.email.domain}"
    stages = ("-e", "filter:email", "-e", "leads", "-e", select)
    lines = b'{"id":1.0,"email":"a@b.de"}\n{"id":2}\n{"id":3.50,"email":"x"}\n'
    done = run(*stages, stdin=lines)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == b'{"id":1.0,"d":"b.de"}\n{"id":3.50,"d":null}\n'
    (folder / "p.toml").write_text(
        '[[stage]]\nfilter = "id > `1`"\n[[stage]]\nselect = "{n: id}"\n'
    )
    done = run("-c", "p.toml", "-w", "2", "--summary", "json", stdin=lines)
    assert done.stdout == b'{"n":2}\n{"n":3.50}\n'
    done = run("-e", "select:id", stdin=lines)
    assert (done.returncode, done.stdout.count(b"_error")) == (3, 3)
