"""What is in a message, through the real command: bytes, keys, headers, places, poison."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from broker import Broker

from tests.conftest import records, summary

pytestmark = pytest.mark.forked

GOOD = [b'{"n":0}', b'{"n":1}']
FOREIGN = b"\0\0\0\0\x07avro"  # a zero byte, a schema's id
TIME = 1_600_000_000_123


@pytest.fixture
def url(broker: Broker) -> Callable[..., str]:
    def address(name: str, **query: Any) -> str:
        pairs = "&".join(f"{key}={value}" for key, value in query.items())
        return f"kafka://{broker.bootstrap}/{name}?{pairs}"

    return address


@pytest.fixture
def copy(run: Any, url: Any) -> Callable[..., tuple[int, dict[str, Any], bytes]]:
    """All that is in a topic, to another one or to stdout: code, summary and stdout."""

    def copy_all(
        source: str, target: str | None = None, *more: str, query: Any = None, **to: Any
    ) -> tuple[int, dict[str, Any], bytes]:
        output = ("-o", url(target, **to)) if target else ()
        stage = () if "-e" in more else ("-e", "none")
        arguments = ("--stop-at-end", *stage, *output, *more, "--summary", "json")
        done = run(url(source, **query or {}), *arguments)
        return done.returncode, summary(done.stderr), done.stdout

    return copy_all


def murmur2(key: bytes) -> int:
    """Java's `Utils.toPositive(Utils.murmur2(key))`."""
    m, mask = 0x5BD1E995, 0xFFFFFFFF
    h = 0x9747B28C ^ len(key)
    whole = len(key) & ~3
    for at in range(0, whole, 4):
        k = int.from_bytes(key[at : at + 4], "little") * m & mask
        h = (h * m & mask) ^ ((k ^ k >> 24) * m & mask)
    if tail := key[whole:]:
        h = (h ^ int.from_bytes(tail, "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return (h ^ h >> 15) & 0x7FFFFFFF


def test_murmur2_is_that_of_java() -> None:
    """Vectors of Kafka's UtilsTest."""
    vectors = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536}
    assert {key: murmur2(key) for key in vectors} == {
        key: known & 0x7FFFFFFF for key, known in vectors.items()
    }


@pytest.mark.parametrize("exactly_once", ["true", "false"])
def test_values_that_are_null_or_empty(
    topic: Any, produce: Any, consume_all: Any, copy: Any, exactly_once: str
) -> None:
    """They delete their key: to a topic they go in their turn, in lines there is none of them."""
    source, target = topic(1), topic(1)
    values = [GOOD[0], None, b"", GOOD[1], None]
    sent = [{"value": v, "key": b"%d" % i, "headers": [("h", b"")]} for i, v in enumerate(values)]
    produce(source, sent)
    once = {"query": {"group": source}, "exactly_once": exactly_once}
    code, counts, _ = copy(source, target, "-j", "2", **once)
    assert (code, counts["received"], counts["ok"], counts["blank"]) == (0, 2, 2, 3)
    found = consume_all(target)
    assert [each.value for each in found] == values
    assert [each.key for each in found] == [each["key"] for each in sent]
    assert [each.headers for each in found] == [[("h", b"")]] * 5
    assert copy(source, target, **once)[1]["blank"] == 0  # they are committed, the last one too
    code, counts, stdout = copy(source)
    assert (code, counts["blank"], stdout) == (0, 3, b"".join(line + b"\n" for line in GOOD))


def test_values_of_several_lines(topic: Any, produce: Any, consume_all: Any, copy: Any) -> None:
    """Every byte to a topic, with a stage as well; one line each to stdout."""
    source, target = topic(1), topic(1)
    values = [b'{\r\n  "a": 1,\r\n  "b": [\n1]\n}', b'{"a":2}\n', b'\n{"a":\r3}']
    produce(source, values)
    assert copy(source, target)[0] == 0
    stripped = [each.strip() for each in values]  # around a record it is no part of it
    assert [each.value for each in consume_all(target)] == stripped
    code, counts, stdout = copy(source)
    assert (code, counts["ok"], stdout.count(b"\n"), stdout.count(b"\r")) == (0, 3, 3, 0)
    assert stdout.splitlines()[0] == b'{    "a": 1,    "b": [ 1] }'
    assert [each["a"] for each in records(stdout)] == [1, 2, 3]
    for more in ((), ("-w", "2")):
        target = topic(1)
        copy(source, target, "-e", "x=stages.py:plain", *more)
        found = [each.value for each in consume_all(target)]
        added = b',"x":{"ok":true}}'
        assert found == [each[:-1] + added for each in stripped]


def test_keys_headers_and_timestamps(topic: Any, produce: Any, consume_all: Any, copy: Any) -> None:
    """As they came, whatever they are."""
    source, target = topic(1), topic(1)
    headers = [("a", b"1"), ("a", b"\xff\0"), ("b", None), ("a", b""), ("ü", b"2")]
    for i, key in enumerate([b"\xff\0\n", None, b"", "ü".encode()]):
        produce(source, [
            {"value": GOOD[0], "key": key, "headers": headers[i:], "timestamp": TIME - i},
        ])  # fmt: skip
    code, _, _ = copy(source, target, "-e", "stages.py:plain")
    before, after = consume_all(source), consume_all(target)
    assert code == 0
    assert [each[1:] for each in after] == [each[1:] for each in before]
    assert [each.headers for each in before] == [headers[i:] for i in range(4)]
    assert [each.timestamp for each in after] == [TIME - i for i in range(4)]
    assert after[0].key == b"\xff\0\n"


def test_partitions(topic: Any, produce: Any, consume_all: Any, copy: Any) -> None:
    """Same count: the input's. Else a key goes where Java puts it, no key by the input's place."""
    source = topic(4)
    keys = [b"k%d" % n for n in range(30)]
    produce(source, [
        {"value": b'{"n":%d}' % n, "key": key, "partition": n % 4} for n, key in enumerate(keys)
    ])  # fmt: skip
    produce(source, [{"value": b'{"n":%d}' % n, "partition": n % 4} for n in range(30, 40)])

    def places(count: int, partition: str) -> dict[int, int]:
        target = topic(count)
        assert copy(source, target, partition=partition)[0] == 0
        found = consume_all(target)
        assert len(found) == 40
        return {json.loads(each.value)["n"]: each.partition for each in found}

    java = {n: murmur2(key) for n, key in enumerate(keys)}
    keyless = range(30, 40)
    same = {n: n % 4 for n in range(40)}
    assert places(4, "auto") == same
    assert places(3, "auto") == {n: at % 3 for n, at in (java | same).items()} | {
        n: at % 3 for n, at in java.items()
    }
    assert places(3, "same") == {n: at % 3 for n, at in same.items()}
    found = places(4, "key")
    assert {n: found[n] for n in java} == {n: at % 4 for n, at in java.items()}
    assert set(found) == {*java, *keyless}


@pytest.mark.parametrize(("partition", "count"), [("auto", 4), ("same", 3)])
def test_another_key(
    topic: Any, produce: Any, consume_all: Any, copy: Any, partition: str, count: int
) -> None:
    """`key` is a template of the record; what has no such field has no key."""
    source, target = topic(4), topic(count)
    values = [b'{"a":{"b":"x%d"}}' % n for n in range(8)] + [b'{"a":{"b":[1,"y"]}}', b'{"a":1}']
    sent = [{"value": v, "key": b"old", "partition": i % 4} for i, v in enumerate(values)]
    produce(source, [*sent, {"value": None, "key": b"gone", "partition": 1},
                     {"value": b"", "key": b"gone", "partition": 1}])  # fmt: skip
    assert copy(source, target, key="{a.b}", partition=partition)[0] == 0
    found = {each.value: each for each in consume_all(target)}
    assert {value: each.key for value, each in found.items()} == {
        **{v: b"x%d" % n for n, v in enumerate(values[:8])},
        values[8]: b'[1,"y"]',
        values[9]: None,
        None: b"gone",
        b"": b"gone",
    }
    if partition == "same":
        assert {v: found[v].partition for v in values} == {
            v: i % 4 % 3 for i, v in enumerate(values)
        }
    else:
        assert {v: found[v].partition for v in values[:9]} == {
            v: murmur2(found[v].key) % 4 for v in values[:9]
        }
        assert found[values[9]].partition == 9 % 4  # no key: by the input's place
        assert (found[None].partition, found[b""].partition) == (1, 1)  # the key is unchanged


def test_keys_of_a_file(topic: Any, run: Any, url: Any, consume_all: Any) -> None:
    """Lines become messages with the key that the template says."""
    target = topic(3)
    lines = b'{"id":"a"}\n\n{"id":12}\nbad\n{}\n'
    done = run("-e", "none", "-o", url(target, key="{id}"), stdin=lines)
    assert done.returncode == 3
    found = {each.value: each for each in consume_all(target)}
    assert found[b'{"id":"a"}'][1:4] == (b"a", [], murmur2(b"a") % 3)
    assert found[b'{"id":12}'][1:4] == (b"12", [], murmur2(b"12") % 3)
    assert found[b"{}"].key is None
    assert len(found) == 4  # the bad one, annotated; a blank line is no message


def test_a_key_with_text_around_fields(topic: Any, run: Any, url: Any, consume_all: Any) -> None:
    """It is the same template as in a URL: text, several fields, literal braces."""
    target = topic(3)
    lines = b'{"id":7,"a":["x"]}\n{"id":7}\n{"id":"\xc3\xa4","a":[true]}\n'
    done = run("-e", "none", "-o", url(target, key="tenant-{id}/{{{a.0}}}"), stdin=lines)
    assert done.returncode == 0, done.stderr
    found = {each.value: each.key for each in consume_all(target)}
    assert sorted(map(repr, found.values())) == sorted(
        map(repr, [b"tenant-7/{x}", None, "tenant-ä/{true}".encode()])
    )
    assert found[b'{"id":7}'] is None


@pytest.mark.mock_will_do
@pytest.mark.parametrize("key", ["id", "{", "{a..b}"])
def test_a_key_that_is_no_template(run: Any, key: str) -> None:
    """One key for all records, or a mistake: it is said before anything is opened."""
    done = run("-e", "none", "-o", f"kafka://127.0.0.1:1/t?key={key}", stdin=b"{}\n")
    assert (done.returncode, done.stderr.count(b"\n")) == (78, 1)
    assert b"sink.kafka" in done.stderr


@pytest.mark.parametrize("exactly_once", ["true", "false"])
def test_poison(
    topic: Any, produce: Any, consume_all: Any, copy: Any, url: Any, exactly_once: str
) -> None:
    """It is annotated, or a dead letter; its neighbours and all that comes later go on."""
    source, target, letters = topic(1), topic(1), topic(1)
    poison = [b'{"n":', b"\xff", b"[1]", FOREIGN, FOREIGN]
    values = [GOOD[0], *poison, GOOD[1], FOREIGN]
    produce(source, [{"value": each, "key": b"k", "headers": [("h", b"1")]} for each in values])
    once = {"query": {"group": source}, "exactly_once": exactly_once}
    code, counts, _ = copy(source, target, **once)
    assert (code, counts["ok"], counts["failed"], counts["malformed"]) == (3, 2, 6, 6)
    found = consume_all(target)
    assert [found[0].value, found[6].value] == GOOD
    assert {(each.key, tuple(each.headers)) for each in found} == {(b"k", (("h", b"1"),))}
    errors = {at: json.loads(found[at].value)["_error"] for at in (1, 2, 3, 4, 5, 7)}
    assert {at: each["line"] for at, each in errors.items()} == {at: at for at in errors}
    named = [at for at, each in errors.items() if "Schema Registry" in each["message"]]
    assert named == [4, 5, 7]
    produce(source, [b'{"later":true}', *poison])
    code, counts, _ = copy(
        source, target, "--on-error", "dead-letter", "--dead-letter", url(letters), **once
    )
    assert (code, counts["received"], counts["ok"], counts["dead_lettered"]) == (3, 6, 1, 5)
    assert consume_all(target)[8].value == b'{"later":true}'
    found = consume_all(letters)
    headers = [dict(each.headers) for each in found]
    assert [each.value for each in found] == poison
    assert [each["streamproc-origin"] for each in headers] == [
        b"%s/0/%d" % (source.encode(), at) for at in range(len(values) + 1, len(values) + 6)
    ]
    assert b"Schema Registry" in headers[4]["streamproc-message"]


def test_meta(topic: Any, produce: Any, copy: Any) -> None:
    """What is known of a message beside its value, for stages and for whoever reads the output."""
    source = topic(2)
    produce(source, [{"value": GOOD[0], "partition": 1}])
    produce(source, [
        {"value": b'{"n":1}\n', "partition": 1, "key": b"k", "timestamp": TIME,
         "headers": [("h", b"1"), ("h", None)]},
        {"value": b"{ }", "partition": 1, "key": b"\xff"},
        {"value": b"{bad}", "partition": 1},
    ])  # fmt: skip
    code, counts, stdout = copy(source, None, "-e", "x=stages.py:plain", query={"meta": "true"})
    first, second, third, bad = records(stdout)
    assert (code, counts["ok"], counts["malformed"]) == (3, 3, 1)
    assert second == {
        "n": 1,
        "_meta": {
            "topic": source, "partition": 1, "offset": 1, "timestamp": TIME, "key": "k",
            "headers": [["h", "1"], ["h", None]],
        },
        "x": {"ok": True},
    }  # fmt: skip
    assert (first["_meta"]["key"], first["_meta"]["headers"]) == (None, [])
    assert set(third) == {"_meta", "x"}
    assert bad["_error"]["raw"] == "{bad}"
