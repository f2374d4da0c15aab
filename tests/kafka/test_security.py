"""Passwords, certificates and rights: who is let in, what is said, and what is never printed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from broker import PATIENCE_S, Broker
from confluent_kafka import Producer

from tests.conftest import summary

pytestmark = pytest.mark.forked

LISTENER = "SASL_SSL"
COUNT = 10


@pytest.fixture
def orders(secured: Broker) -> str:
    """A topic with records, on the broker where rights count."""
    name = f"topic-{uuid4()}"
    secured.create_topic(name, 2)
    producer = Producer({"bootstrap.servers": secured.bootstrap})
    for n in range(COUNT):
        producer.produce(name, b'{"n":%d}' % n, b"k%d" % n)
    assert producer.flush(PATIENCE_S) == 0
    return name


@pytest.fixture
def invoices(secured: Broker) -> str:
    """An empty topic there."""
    name = f"topic-{uuid4()}"
    secured.create_topic(name, 2)
    return name


def kafka(broker: Broker, user: str, **table: Any) -> dict[str, Any]:
    """A table for `user`, whose password is ${PASSWORD}."""
    properties = broker.client(LISTENER, user, "${PASSWORD}")
    brokers = properties.pop("bootstrap.servers")
    return {"kafka": {"brokers": brokers, **table, "properties": properties}}


def write(folder: Path, **tables: Any) -> None:
    """A pipeline file: strings and lists in TOML are as in JSON."""
    lines = ['stage = [{ builtin = "none" }]']
    for name, table in tables.items():
        for key, value in table["kafka"].items():
            inner = value if isinstance(value, dict) else {"": value}
            for property_name, each in inner.items():
                place = f"{name}.kafka.{key}" + (property_name and f'."{property_name}"')
                lines.append(f"{place} = {json.dumps(each)}")
    (folder / "p.toml").write_text("\n".join(lines))


def address(broker: Broker, topic: str, user: str, password: str, **more: str) -> str:
    properties = broker.client(LISTENER, user, password)
    brokers = properties.pop("bootstrap.servers")
    pairs = {**properties, **more}.items()
    query = "&".join(f"{key}={quote(str(value), safe='')}" for key, value in pairs)
    return f"kafka://{brokers}/{topic}?{query}"


def assert_hidden(secret: str, *outputs: bytes) -> None:
    for output in outputs:
        for form in (secret, quote(secret, safe=""), json.dumps(secret)[1:-1]):
            assert form.encode() not in output


def test_a_copy_with_password_and_certificate(
    secured: Broker, orders: str, invoices: str, folder: Path, run: Callable[..., Any]
) -> None:
    """All of it in a pipeline file; the password is in nothing that is printed."""
    secret = secured.users["carol"]
    write(
        folder,
        source=kafka(secured, "carol", topics=[orders], group="copy" + orders),
        sink=kafka(secured, "carol", topic=invoices, exactly_once=True),
    )
    env = {"PASSWORD": secret}
    done = run("check", "-c", "p.toml", env=env)
    assert done.returncode == 0
    assert b"${PASSWORD}" in done.stdout
    assert_hidden(secret, done.stdout, done.stderr)
    done = run(
        "-c", "p.toml", "--stop-at-end", "--summary", "json", "--log-level", "debug", env=env
    )
    assert done.returncode == 0
    assert summary(done.stderr)["ok"] == COUNT
    assert_hidden(secret, done.stdout, done.stderr)
    source = address(secured, invoices, "carol", secret)
    done = run(source, "--stop-at-end", "-e", "none", "--log-level", "debug")
    assert done.returncode == 0
    assert sorted(json.loads(line)["n"] for line in done.stdout.splitlines()) == list(range(COUNT))
    assert_hidden(secret, done.stdout, done.stderr)


@pytest.mark.parametrize("end", ["source", "sink"])
def test_a_wrong_password(
    end: str, secured: Broker, orders: str, folder: Path, run: Callable[..., Any]
) -> None:
    """Is told at once: the wait for a broker would last longer than the test's patience."""
    wrong = "not-the-p@ssword"
    table = {"topics": [orders]} if end == "source" else {"topic": orders}
    write(folder, **{end: kafka(secured, "carol", **table)})
    arguments = ("-c", "p.toml", "--connect-timeout", "10m", "--log-level", "debug")
    done = run(*arguments, stdin=b'{"n":1}\n', env={"PASSWORD": wrong})
    assert (done.returncode, done.stdout) == (77, b"")
    assert b"Authentication failed" in done.stderr.splitlines()[-1]
    assert b"waiting" not in done.stderr
    assert_hidden(wrong, done.stderr)


def test_a_certificate_of_somebody_else(
    secured: Broker, orders: str, run: Callable[..., Any]
) -> None:
    """Without our authority the broker is not believed, and gets no password."""
    source = address(secured, orders, "carol", "anything").replace("ssl.ca.location", "client.id")
    done = run(source, "--stop-at-end", "--connect-timeout", "1", "--log-level", "debug")
    assert (done.returncode, done.stdout) == (69, b"")
    assert b"certificate verify failed" in done.stderr


@pytest.mark.parametrize("given", [(), ("DESCRIBE",)], ids=["hidden", "seen"])
def test_no_right_to_read(
    given: tuple[str, ...], secured: Broker, orders: str, run: Callable[..., Any]
) -> None:
    for operation in given:
        secured.allow("dave", operation, "TOPIC", orders)
    done = run(address(secured, orders, "dave", "swordfish"), "--stop-at-end")
    assert (done.returncode, done.stdout) == (77, b"")
    assert orders.encode() in done.stderr
    assert b"opic authorization failed" in done.stderr


def test_without_a_group_no_right_to_one_is_needed(
    secured: Broker, orders: str, run: Callable[..., Any]
) -> None:
    secured.allow("dave", "READ", "TOPIC", orders)
    done = run(address(secured, orders, "dave", "swordfish"), "--stop-at-end", "-e", "none")
    assert (done.returncode, done.stdout.count(b"\n")) == (0, COUNT)


def test_no_right_to_a_group(secured: Broker, orders: str, run: Callable[..., Any]) -> None:
    secured.allow("dave", "READ", "TOPIC", orders)
    done = run(address(secured, orders, "dave", "swordfish", group="others"), "--stop-at-end")
    assert (done.returncode, done.stdout) == (77, b"")
    assert b"Group authorization failed" in done.stderr


@pytest.mark.parametrize("given", [(), ("DESCRIBE",)], ids=["hidden", "seen"])
def test_no_right_to_write(
    given: tuple[str, ...], secured: Broker, invoices: str, run: Callable[..., Any]
) -> None:
    """Whether the topic may be seen or not: it is there, and the answer is no."""
    for operation in given:
        secured.allow("dave", operation, "TOPIC", invoices)
    target = address(secured, invoices, "dave", "swordfish")
    done = run("-e", "none", "-o", target, stdin=b'{"n":1}\n')
    assert done.returncode == 77
    assert invoices.encode() in done.stderr
    assert b"uthorization failed" in done.stderr


def test_no_right_to_write_in_a_transaction(
    secured: Broker, orders: str, invoices: str, run: Callable[..., Any]
) -> None:
    """It is not tried again for ever, and nothing is committed."""
    for operation, kind, name in (
        ("READ", "TOPIC", orders), ("READ", "GROUP", orders), ("DESCRIBE", "TOPIC", invoices),
        ("WRITE", "TRANSACTIONAL_ID", "*"),
    ):  # fmt: skip
        secured.allow("dave", operation, kind, name)
    source = address(secured, orders, "dave", "swordfish", group=orders)
    target = address(secured, invoices, "dave", "swordfish", exactly_once="true")
    arguments = ("--stop-at-end", "-e", "none", "--summary", "json")
    done = run(source, "-o", target, *arguments)
    assert done.returncode == 77
    assert b"Topic authorization failed" in done.stderr
    counts = summary(done.stderr)  # it may end before all of them were read
    assert counts["unprocessed"] == counts["received"] > 0
    done = run(source, *arguments)
    assert summary(done.stderr)["ok"] == COUNT


WRONG = [
    ((), "", {}, 2),
    (("-o",), "a,b", {}, 2),
    ((), "a", {"gruop": "g"}, 78),
    ((), "a", {"fetch.weight": "1"}, 78),
    (("replay", "/dev/null"), "a", {}, 66),
    (("check", "-c"), "a", {}, 78),
    (("check", "-c", "/dev/null"), "a", {}, 2),
]


@pytest.mark.parametrize(("arguments", "topic", "more", "code"), WRONG)
def test_an_address_is_printed_without_its_password(
    arguments: tuple[str, ...], topic: str, more: dict[str, str], code: int,
    secured: Broker, run: Callable[..., Any],
) -> None:  # fmt: skip
    """Whatever else is wrong with it."""
    secret = "pa$$ word/1"
    wrong = address(secured, topic, "carol", secret, **more)
    done = run(*arguments, wrong)
    assert done.returncode == code, done.stderr
    assert done.stderr
    assert b"Traceback" not in done.stderr
    assert_hidden(secret, done.stdout, done.stderr)


def test_an_address_belongs_on_the_command_line(
    secured: Broker, folder: Path, run: Callable[..., Any]
) -> None:
    """In a file it would be the name of a file."""
    target = address(secured, "a", "carol", "geheim-in-a-file")
    (folder / "p.toml").write_text(f"output = {json.dumps(target)}\n")
    done = run("check", "-c", "p.toml")
    assert done.returncode == 78
    assert b"sink.kafka" in done.stderr
    assert_hidden("geheim-in-a-file", done.stdout, done.stderr)


def test_a_password_that_stands_in_a_file_is_not_shown(
    secured: Broker, folder: Path, run: Callable[..., Any]
) -> None:
    write(folder, source=kafka(secured, "carol", topics=["a"]))
    text = (folder / "p.toml").read_text()
    (folder / "p.toml").write_text(text.replace("${PASSWORD}", "geheim-in-a-file"))
    done = run("check", "-c", "p.toml")
    assert done.returncode == 0
    assert b'"sasl.password" = "***"' in done.stdout
    assert_hidden("geheim-in-a-file", done.stdout, done.stderr)
