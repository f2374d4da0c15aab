"""Bytes that nobody expects, grown until it shows whether time and memory grow faster.

`python tests/fuzz.py [--minutes N] [--seed N]` runs all of it (`make torture`); the tests run
what was found once, and a little of the rest. A line is `before + again * n + after`; it goes
through a target with nothing between, and then at four times the size again and again, which
costs about four times as much.
What comes over HTTP is in `fuzz_http.py`.
"""

from __future__ import annotations

import argparse
import gc
import random
import resource
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from fuzz_http import HTTP_FOUND, HTTP_MATERIAL, HTTP_TARGETS
from hostile import Line, Material

from streamproc.checkpoint.entry import Entry
from streamproc.codec import (
    Document,
    Outline,
    decode_any,
    encode,
    one_line,
    original_line,
    restore,
    verbatim,
)
from streamproc.codec.failure import as_annotated, as_dead_letter
from streamproc.engines.framing import (
    FrameProtocol,
    Kind,
    WorkBatch,
    pack_run,
    pack_work,
    unpack_run,
    unpack_work,
)
from streamproc.enrichers.leads import LeadsEnricher
from streamproc.errors import RecordError
from streamproc.record import WHITESPACE, Batch, Cursor, Failed
from streamproc.sources.json_values import JsonCutter

SIZES = [0, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20]
NOTICED_S = 0.2  # CPU time; less is noise
GROWTH = 7.0  # at four times the size; what is quadratic grows by 16
PROMISED_S = 0.12  # that a MiB keeps the loop busy: 100 ms, and 20 ms for each MiB
MARGIN = 3.0
PACE_S = 0.02  # what `_pace` has to do takes so long where that is held
MOST_KIB = 250 << 10  # that one line makes the process grow by

RECORD = Material(
    (b"", b"{", b'{"a":', b"[", b'{"_error":{', b'{"_error":{},"raw":"'),
    (b"[", b"]", b"{", b"}", b'"', b"\\", rb"\"", b",", b":", b"0", b"7", b"1e", b"-", b".", b" ",
     b"\t", rb"\u", rb"\ud800", rb"\u0061", b'"a":', b'{"a":', b"{},", b"[],", b'"ab",', b"1,",
     b'"a":1,', b'"_error":', b'"sources":{', b'"raw":', b'"raw_base64":"', b'"added":["', b"null",
     b'"name":"', b'"email":"', b'"phone":"', b'"website":"', b'"address":"', b"a ", b"a@", b"a.",
     b"\xc3\xa9", b"\xff", b"\0", b"j", b"7" * 600, b"]]]]}}}}"),
    (b"", b"}", b'"}', b"]}", b'"]}}'),
)  # fmt: skip


FAILED = Failed("s", "k", "m", 1, {"sources": {"a": {"kind": "k"}}})


def replaced(line: bytes) -> None:
    """A transform."""
    document = Document(line)
    document.replace({**document.fields, "x": 1})


def merged(line: bytes) -> None:
    """The record comes back, with more in it."""
    document = Document(line)
    document.merge({**document.fields, "x": 1})


def put(line: bytes) -> None:
    """A key that is there already."""
    document = Document(line)
    document.put((next(iter(document.fields), "x"),), 1)


def leads(line: bytes) -> None:
    LeadsEnricher().call(Document(line).fields)


def given_back(line: bytes) -> None:
    """A line, whatever it is, survives being a dead letter or an annotation."""
    assert original_line(as_dead_letter(FAILED, line)) == line
    try:
        outline = Outline.of(line)
    except RecordError:
        assert original_line(as_annotated(FAILED, line, None)) == line
        return
    annotated = as_annotated(FAILED, line, outline)
    assert original_line(annotated) == (line if outline.has_error else line.strip(WHITESPACE))
    original_line(annotated, keep_sources=True)


def replayed(line: bytes) -> None:
    for keep_sources in (False, True):
        original = original_line(line, keep_sources=keep_sources)
        if original is not None:
            assert b"\n" not in one_line(original)


def cut(line: bytes) -> None:
    """A value that never ends, as `--input-format json` reads it."""
    cutter = JsonCutter("f", 16 << 20)
    value = b"{" + line.translate(None, b"}]")
    for at in range(0, len(value), JsonCutter.chunk_bytes):
        assert not cutter.feed(value[at : at + JsonCutter.chunk_bytes])
    ((batch, _),) = cutter.finish()
    assert b"\n" not in batch.lines[0]


def answered(line: bytes) -> None:
    """What a service makes of it, under a name that is as long."""
    value = decode_any(line)
    encode({line.decode(errors="replace"): [value, None, *[0] * (len(line) // 4)]})


def framed(line: bytes) -> None:
    """Frames between processes, that come in pieces of any size."""
    got: list[Any] = []

    def take(kind: Kind, body: memoryview) -> None:
        got.append(unpack_work(body) if kind is Kind.WORK else unpack_run(body))

    batch = Batch(0, Cursor("f", 1, 0), [line, b"", line[:7]], 2 * len(line))
    piece = WorkBatch(1, batch.cursor, batch.lines)
    work, run = pack_work(1, batch, 0, 3), pack_run(piece, 0, [line + b"}", b"", b"1"], {})
    sent: list[bytes] = []

    class Transport:
        def set_write_buffer_limits(self, high: int) -> None:
            """It is never full."""

        def writelines(self, parts: Any) -> None:
            sent.extend(parts)

    sender, receiver = FrameProtocol(take, lambda: None), FrameProtocol(take, lambda: None)
    sender.connection_made(Transport())  # type: ignore[arg-type]
    for kind, parts in ((Kind.WORK, work), (Kind.RUN, run)):
        sender.send(kind, *parts)
    data = memoryview(b"".join(sent))
    while data:
        room = receiver.get_buffer(-1)
        count = min(len(room), len(data), 1000 + len(data) // 50)
        room[:count], data = data[:count], data[count:]
        receiver.buffer_updated(count)
    assert got[0].lines == batch.lines
    assert got[1][3] == [line + b"}", b"", b"1"]


TARGETS: dict[str, Callable[[bytes], Any]] = {
    "decode": Document,
    "answer": decode_any,
    "outline": Outline.of,
    "verbatim": lambda line: verbatim([line]),
    "replaced": replaced,
    "merged": merged,
    "put": put,
    "grafted": lambda line: Document(line).put(("x", "y", "z"), 1),
    "leads": leads,
    "given back": given_back,
    "replayed": replayed,
    "checkpoint": lambda line: restore(Entry, line),
    "cut": cut,
    "answered": answered,
    "framed": framed,
    **HTTP_TARGETS,
}

# What cost too much once, or ended with a traceback.
FOUND: list[tuple[str, Line]] = [
    ("decode", Line(b"[" * 513 + b'"', rb"\"", b"")),
    ("decode", Line(b'{"a":[', b"[" * 500 + b"]" * 500 + b",", b"1]}")),
    ("decode", Line(b'{"a":', b"7", b"}")),
    ("answer", Line(b"[" * 513 + b'"', rb"\"", b"")),
    ("verbatim", Line(b"[" * 513 + b'"', rb"\"", b"")),
    ("verbatim", Line(b'{"a":', b"7", b"}")),
    ("replaced", Line(b'{"y":[' + b"[" * 500 + b"]" * 500, b",1", b"]}")),
    ("merged", Line(b'{"y":' * 500 + b"1" + b"}" * 499, b" ", b"}")),
    ("merged", Line(b'{"y":[', b"[" * 500 + b"]" * 500 + b",", b"1]}")),
    ("put", Line(b'{"b":', b" ", b"1}")),
    ("replaced", Line(b"{", b'"a":1,', b'"a":2}')),
    ("put", Line(b"{", b'"a":1,', b'"a":2}')),
    ("put", Line(b'{"a":[' + b"1," * 9999 + b"2],", b'"a":[[]],', b'"a":2}')),
    ("grafted", Line(b"{", b'"a":[""],', b'"b":"\\ud800"}')),
    ("leads", Line(b'{"name":"', b"a ", b'"}')),
    ("leads", Line(b'{"address":"', b"1 ", b'"}')),
    ("leads", Line(b'{"', b"k-", b'":1}')),
    ("given back", Line(b'{"a":', b"7", b"}")),
    ("given back", Line(b'{"a":1,"_error":"', b"x", b'"}')),
    ("replayed", Line(b'{"_error":{},"raw_base64":"A', b"AAAA", b'"}')),
    ("replayed", Line(b'{"a":1,"_error":{"added":[', b"[],", b"{}]}}")),
    ("replayed", Line(b'{"_error":{},"raw":"', rb"\n", b'x"}')),
    ("replayed", Line(b'{"_error":{},"raw":"', rb"\ud800", b'"}')),
    ("checkpoint", Line(b'{"x":', b"[", b"")),
    ("cut", Line(b'\n"', rb"\"", b"")),
    ("answered", Line(b'"', b"k", b'"')),
    ("framed", Line(b"", b"x", b"")),
    *HTTP_FOUND,
]


def check(target: str, line: Line) -> None:
    """Raises AssertionError if it costs too much, and what is no answer to wrong bytes."""
    thresholds = gc.get_threshold()
    gc.freeze()  # what tests before have left in this process is not the line's
    gc.set_threshold(5_000, 50, 100)  # as in the command
    try:
        _check(target, line)
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()


def _check(target: str, line: Line) -> None:
    before_s = 0.0
    for size in SIZES:
        data = line.of(size)
        peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        cost_s = _cost_s(target, data)
        most_s = max(NOTICED_S, PROMISED_S * MARGIN * size / (1 << 20))
        pace = 1.0
        for _ in range(5):  # somebody else may have had the machine
            if cost_s > min(most_s * pace, max(NOTICED_S * pace, GROWTH * before_s)):
                pace = max(pace, _pace())
                cost_s = min(cost_s, _cost_s(target, data))
        assert cost_s <= most_s * pace, f"{target}: {cost_s:.2f} s for {size} bytes of {line}"
        assert cost_s <= max(NOTICED_S * pace, GROWTH * before_s), f"{target}: {size}: {line}"
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak_kib
        assert grown <= MOST_KIB, f"{target}: {grown >> 10} MiB for {size} bytes of {line}"
        before_s = cost_s


def _pace() -> float:
    """How many times longer than elsewhere it takes here and now to do something."""
    begun_s = time.process_time()
    sum(n for n in range(500_000))
    return (time.process_time() - begun_s) / PACE_S


def _cost_s(target: str, data: bytes) -> float:
    gc.collect()
    begun_s = time.process_time()
    with suppress(RecordError):
        TARGETS[target](data)
    return time.process_time() - begun_s


def any_line(target: str, dice: random.Random) -> Line:
    return HTTP_MATERIAL.get(target, RECORD).any_line(dice)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    arguments = parser.parse_args()
    dice = random.Random(arguments.seed)
    for target, line in FOUND:
        check(target, line)
    count = 0
    end_s = time.monotonic() + arguments.minutes * 60
    while time.monotonic() < end_s:
        target = dice.choice(list(TARGETS))
        line = any_line(target, dice)
        try:
            check(target, line)
        except BaseException:
            print(f"seed {arguments.seed}, after {count} lines: {target!r}, {line!r}", flush=True)
            raise
        count += 1
    print(f"fuzz: {len(FOUND)} lines that were found, {count} others")


if __name__ == "__main__":
    main()
