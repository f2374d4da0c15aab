"""The broker for tests does what the tests of Kafka rely on."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from broker import HERE, HOST, PATIENCE_S, Broker, bound, jars, until
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

Produce = Callable[..., None]
Consume = Callable[..., list[Any]]


def is_heard(address: str) -> bool:
    host, port = address.split(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError:
        return False
    return True


def send(settings: dict[str, Any], topic: str = "orders") -> KafkaError | None:
    """The first error that a client is told about, or None when the broker has the message."""
    errors: list[KafkaError] = []
    done: list[KafkaError | None] = []
    producer = Producer({**settings, "error_cb": errors.append, "log_level": 0})
    producer.produce(topic, b"{}", on_delivery=lambda error, _: done.append(error))
    until(lambda: producer.poll(0.05) >= 0 and bool(errors or done), "an answer")
    producer.purge()
    producer.flush(PATIENCE_S)
    return errors[0] if errors else done[0]


def test_messages_come_back_as_they_were_sent(
    topic: Callable[..., str], produce: Produce, consume_all: Consume
) -> None:
    name = topic(2)
    headers = [("a", b"1"), ("a", b"2"), ("b", None)]
    full = {"value": b"{}", "key": b"k", "headers": headers, "partition": 1, "timestamp": 7}
    produce(name, [full, {"value": None, "key": b"gone", "partition": 0}])
    produce(name, [{"value": b"later", "partition": 1}])
    gone, first, later = consume_all(name)
    assert (gone.value, gone.key, gone.headers, gone.partition) == (None, b"gone", [], 0)
    assert tuple(first) == (b"{}", b"k", headers, 1, 7)
    assert later.value == b"later"


def test_aborted_messages_are_seen_by_those_who_ask(
    broker: Broker, topic: Callable[..., str], consume_all: Consume
) -> None:
    name = topic()
    producer = Producer({"bootstrap.servers": broker.bootstrap, "transactional.id": name})
    producer.init_transactions(PATIENCE_S)
    for end in (producer.abort_transaction, producer.commit_transaction):
        producer.begin_transaction()
        producer.produce(name, end.__name__)
        producer.flush(PATIENCE_S)
        end(PATIENCE_S)
    assert [each.value for each in consume_all(name)] == [b"commit_transaction"]
    both = consume_all(name, "read_uncommitted")
    assert [each.value for each in both] == [b"abort_transaction", b"commit_transaction"]


def test_a_refused_message_raises(topic: Callable[..., str], produce: Produce) -> None:
    name = topic(config={"max.message.bytes": "1000"})
    with pytest.raises(KafkaException, match="MSG_SIZE_TOO_LARGE"):
        produce(name, [bytes(2000)])


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_restart_keeps_address_and_data(
    end: str, broker: Broker, topic: Callable[..., str], produce: Produce, consume_all: Consume
) -> None:
    name, address = topic(), broker.bootstrap
    produce(name, [b"before"])
    getattr(broker, end)()
    assert not is_heard(address)
    broker.start()
    assert broker.bootstrap == address
    produce(name, [b"after"])
    assert [each.value for each in consume_all(name)] == [b"before", b"after"]


def test_a_paused_broker_is_there_and_says_nothing(broker: Broker) -> None:
    broker.pause()
    try:
        assert is_heard(broker.bootstrap)
        with pytest.raises(KafkaException):
            broker.admin.list_topics(timeout=0.5)
    finally:
        broker.resume()
    assert broker.admin.list_topics(timeout=PATIENCE_S).brokers


def test_no_topic_comes_by_itself(broker: Broker) -> None:
    name = f"missing-{uuid4()}"
    broker.admin.list_topics(name, timeout=PATIENCE_S)
    assert name not in broker.admin.list_topics(timeout=PATIENCE_S).topics


@pytest.mark.parametrize("listener", ["SASL_PLAINTEXT", "SASL_SSL"])
def test_a_wrong_password_is_refused(secured: Broker, listener: str) -> None:
    assert send(secured.client(listener, "root")) is None
    error = send(secured.client(listener, "root", "wrong"))
    assert error is not None
    assert error.code() == KafkaError._AUTHENTICATION


def test_rights_are_asked_for(secured: Broker) -> None:
    error = send(secured.client("SASL_PLAINTEXT", "alice"))
    assert error is not None
    assert error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED
    secured.allow("alice", "WRITE", "TOPIC", "orders")
    assert send(secured.client("SASL_PLAINTEXT", "alice")) is None


def test_a_certificate_is_verified(secured: Broker) -> None:
    settings = secured.client("SSL")
    assert AdminClient(settings).list_topics(timeout=PATIENCE_S).brokers
    del settings["ssl.ca.location"]
    error = send(settings)
    assert error is not None
    assert error.code() in (KafkaError._SSL, KafkaError._TRANSPORT)  # whoever is first to say it
    assert "SSL" in error.str()


def test_a_start_that_fails_says_why(installed: None) -> None:
    wrong = Broker(properties={"num.io.threads": "none"})
    with pytest.raises(RuntimeError, match=r"num\.io\.threads"), wrong:
        pass
    assert not wrong.folder.exists()


def test_a_port_that_is_taken_is_replaced(installed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server((HOST, 0)) as other:
        taken = [other.dup()]  # for the controller, in the first try
        monkeypatch.setattr("broker.bound", lambda: taken.pop() if taken else bound())
        with Broker() as broker:
            assert broker.ports["CONTROLLER"] != other.getsockname()[1]


def test_nothing_is_left_when_the_parent_is_killed(installed: None, tmp_path: Path) -> None:
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    command = [sys.executable, str(HERE / "broker.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().decode().strip()
            assert is_heard(address)
            assert len(list(tmp_path.iterdir())) == 1
        finally:
            process.kill()
    until(lambda: not is_heard(address) and not list(tmp_path.iterdir()), "the end")


def test_ctrl_c_ends_the_command(installed: None, tmp_path: Path) -> None:
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    pipe = subprocess.PIPE
    command = [sys.executable, str(HERE / "broker.py")]
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, env=environment) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, stderr, list(tmp_path.iterdir())) == (0, b"", [])


def test_a_download_that_is_cut_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maven = tmp_path / "mvn"
    script = "#!/bin/sh\nfor last; do :; done\nmkdir ${last#*=}; touch ${last#*=}/a.jar\n"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    maven.write_text(f"{script}echo no network; exit 1\n")
    maven.chmod(0o755)
    with pytest.raises(RuntimeError, match="no network"):
        jars()
    assert list((tmp_path / "cache" / "streamproc").iterdir()) == []
    maven.write_text(script)
    assert [each.name for each in jars().iterdir()] == ["a.jar"]
    maven.unlink()
    assert jars().is_dir()
