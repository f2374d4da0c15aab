"""`--trace` between topics: a message goes out in the trace of the record that it was."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from broker import Broker
from servers.otlp import Receiver, receiving

pytestmark = pytest.mark.forked

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = "00-0af7651916cd43dd8448eb211c80319d-b7ad6b7169203331-00"
STATE = ("tracestate", b"theirs=1")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.mark.mock_will_do
@pytest.mark.parametrize(("workers", "exactly_once"), [("1", "true"), ("2", "false")])
def test_what_is_traced_names_its_span_and_nothing_else_is_changed(
    broker: Broker, topic: Any, produce: Any, consume_all: Any, run: Any, receiver: Receiver,
    workers: str, exactly_once: str,
) -> None:  # fmt: skip
    """Those that fail, too: whoever looks at a dead letter finds its trace."""
    source, target, letters = topic(1), topic(1), topic(1)
    sampled = [("a", b"1"), ("traceparent", PARENT.encode()), STATE]
    unsampled = [("traceparent", UNSAMPLED.encode())]
    produce(source, [
        {"partition": 0, "value": b'{"n":0}', "headers": sampled},
        {"partition": 0, "value": b'{"n":1}', "headers": unsampled},
        {"partition": 0, "value": b'{"n":2}'},
        {"partition": 0, "value": b"bad", "headers": sampled},
    ])  # fmt: skip
    where = f"kafka://{broker.bootstrap}"
    done = run(
        f"{where}/{source}?group=g", "--stop-at-end", "-e", "none", "-w", workers, "--trace",
        "-o", f"{where}/{target}?exactly_once={exactly_once}",
        "--on-error", "dead-letter", "--dead-letter", f"{where}/{letters}",
        env={
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
            "OTEL_TRACES_SAMPLER": "parentbased_always_off",
        },
    )  # fmt: skip
    assert done.returncode == 3
    first, second, third = (each.headers for each in consume_all(target))
    (letter,) = (each.headers for each in consume_all(letters))
    _, trace_id, parent_id, _ = PARENT.split("-")
    assert len(receiver.traces) == 2
    for name, headers in ((f"{source}/0:0", first), (f"{source}/0:3", letter)):
        (span, *_) = receiver.traces[name]
        assert (span.trace_id.hex(), span.parent_span_id.hex()) == (trace_id, parent_id)
        traceparent = f"00-{trace_id}-{span.span_id.hex()}-01".encode()
        own = [each for each in headers if not each[0].startswith("streamproc-")]
        assert own == [("a", b"1"), ("traceparent", traceparent), STATE]
    assert (second, third or []) == (unsampled, [])
