"""A real Kafka broker: one KRaft node in a temporary folder, on free loopback ports.

`python tests/kafka/broker.py` starts one, prints its address and runs until Ctrl-C.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

from confluent_kafka import KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # not in its __all__
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

HOST = "127.0.0.1"
HERE = Path(__file__).parent
KAFKA = "kafka-4.0.0"  # as in pom.xml
CLUSTER = "c3RyZWFtcHJvYy10ZXN0cw"
# a hang fails; a broker that comes back may wait for a transaction (60 s), a session (45 s)
PATIENCE_S = 120
TRIES = 3
TAIL = 2048
JAVA = [
    "java", "-Xmx384m", "-XX:+UseSerialGC", "-Djava.net.preferIPv4Stack=true",
    # what it says at `info` while it gives up would push the reason out of the log's tail
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
]  # fmt: skip
STARTS_FAST = ["-XX:TieredStopAtLevel=1"]  # half the CPU time of a start; slower under load
PROPERTIES = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",  # what lasts longer than a session is to be tested
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "500",
    "log.cleaner.dedupe.buffer.size": "8388608",  # the default is a third of the heap
    "log.retention.ms": "-1",  # messages with old timestamps would be gone after half a minute
    "offsets.topic.num.partitions": "1",
    "offsets.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
}
# until its last session has timed out, the broker may not come back: 9 seconds by default
AGAIN = [
    "--override", "broker.session.timeout.ms=1000",
    "--override", "broker.heartbeat.interval.ms=200",
]  # fmt: skip
# reads the broker's process id, or an empty line when there is none; the pipe's end is our end
WATCHDOG = """
pid=
while read -r line; do pid=$line; done
if [ "$pid" ]; then kill -9 "$pid"; sleep 1; fi
rm -rf -- "$1"
"""


class Broker:
    """Started on entry; on exit it is stopped and its folder removed.

    Listeners are named after their protocols: PLAINTEXT, which is always there, SASL_PLAINTEXT,
    SSL, SASL_SSL. `users` are names and passwords for SASL/PLAIN. Where `superusers` are given, or
    an empty list of them, everybody else needs rights; who comes through PLAINTEXT has them all.
    `options` are those of the virtual machine.
    """

    def __init__(
        self,
        listeners: Iterable[str] = ("PLAINTEXT",),
        properties: Mapping[str, str] | None = None,
        *,
        users: Mapping[str, str] | None = None,
        superusers: Iterable[str] | None = None,
        options: Iterable[str] = STARTS_FAST,
    ) -> None:
        self.listeners = dict.fromkeys(("PLAINTEXT", *listeners))
        self.properties = dict(properties or {})
        self.users = dict(users or {})
        self.superusers = None if superusers is None else list(superusers)
        self.options = list(options)
        self.ports: dict[str, int] = {}
        self.held: list[socket.socket] = []
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Broker:
        self.jars = jars()
        self.folder = Path(mkdtemp(prefix="streamproc-kafka-"))
        self.data, self.log = self.folder / "data", self.folder / "log"
        # a session of its own: Ctrl-C is for us
        self.watchdog = subprocess.Popen(
            ["sh", "-c", WATCHDOG, "sh", self.folder],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            bufsize=0, start_new_session=True,
        )  # fmt: skip
        try:
            self.first_start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        try:
            self.stop()
        finally:
            self.release()
            assert self.watchdog.stdin is not None
            self.watchdog.stdin.close()
            self.watchdog.wait(PATIENCE_S)

    def first_start(self) -> None:
        with_tls = any(name.endswith("SSL") for name in self.listeners)
        certificate = self.make_certificate() if with_tls else {}
        for attempt in range(1, TRIES + 1):
            self.reserve()
            self.write_settings(certificate)
            self.format()
            try:
                return self.start()
            except RuntimeError:
                if attempt == TRIES or b"Address already in use" not in self.log.read_bytes():
                    raise
            shutil.rmtree(self.data)
            self.log.unlink()
        return None

    def reserve(self) -> None:
        """Pick ports; on Linux nobody else gets them while the broker is down."""
        self.release()
        for name in ("CONTROLLER", *self.listeners):
            self.held.append(bound())
            self.ports[name] = self.held[-1].getsockname()[1]
        if sys.platform != "linux":
            self.release()

    def release(self) -> None:
        while self.held:
            self.held.pop().close()

    def make_certificate(self) -> dict[str, str]:
        if str(HERE.parent) not in sys.path:
            sys.path.append(str(HERE.parent))  # as a command, or from the benchmarks
        from servers.certificates import make_authority, make_certificate

        make_authority(self.folder, "ca")
        make_certificate(self.folder, "good")
        pem = self.folder / "server.pem"
        parts = (self.folder / "good.key", self.folder / "good.pem")
        pem.write_bytes(b"".join(part.read_bytes() for part in parts))
        return {"ssl.keystore.type": "PEM", "ssl.keystore.location": str(pem)}

    def write_settings(self, certificate: Mapping[str, str]) -> None:
        logins = "".join(f' user_{name}="{password}"' for name, password in self.users.items())
        settings = PROPERTIES | {
            "controller.quorum.voters": f"1@{HOST}:{self.ports['CONTROLLER']}",
            "listeners": ",".join(f"{name}://{HOST}:{port}" for name, port in self.ports.items()),
            "listener.security.protocol.map": ",".join(
                ["CONTROLLER:PLAINTEXT", *(f"{name}:{name}" for name in self.listeners)]
            ),
            "log.dirs": str(self.data),
            "sasl.enabled.mechanisms": "PLAIN",
        }
        for name in self.listeners:
            if name.startswith("SASL_"):
                settings[f"listener.name.{name.lower()}.plain.sasl.jaas.config"] = (
                    f"org.apache.kafka.common.security.plain.PlainLoginModule required{logins};"
                )
        if self.superusers is not None:
            names = ["ANONYMOUS", *self.superusers]
            settings["super.users"] = ";".join(f"User:{name}" for name in names)
            settings["authorizer.class.name"] = (
                "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
            )
        settings |= {**certificate, **self.properties}
        lines = "".join(f"{name}={value}\n" for name, value in settings.items())
        (self.folder / "server.properties").write_text(lines)

    def java(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = [*JAVA, *self.options, "-cp", f"{self.jars}/*", program, *arguments]
        if archive().exists():
            command.insert(1, f"-XX:SharedArchiveFile={archive()}")
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self.tell(str(process.pid))
        self.process = process
        return process

    def format(self) -> None:
        formatted = cache().with_name(f"{KAFKA}-formatted")
        if formatted.is_dir():  # nothing in it depends on settings
            shutil.copytree(formatted, self.data)
            return
        settings = str(self.folder / "server.properties")
        process = self.java("kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c", settings)
        if process.wait(PATIENCE_S):
            raise RuntimeError(f"formatting the storage failed:\n{self.tail()}")
        keep(formatted, lambda target: shutil.copytree(self.data, target))

    def start(self) -> None:
        """Start it, and after `stop` or `kill` again: same ports, same data; it is ready then."""
        again = AGAIN if (self.data / "__cluster_metadata-0").exists() else []
        process = self.java("kafka.Kafka", str(self.folder / "server.properties"), *again)
        try:
            until(lambda: process.poll() is not None or self.is_ready(), "the broker's start")
        except BaseException:
            self.kill()
            raise
        if process.poll() is not None:
            raise RuntimeError(f"the broker did not start:\n{self.tail()}")

    def is_ready(self) -> bool:
        """Everything has a leader in the answer to a metadata request."""
        with suppress(OSError, KafkaException):
            # a client would log every refusal
            socket.create_connection((HOST, self.ports["PLAINTEXT"]), timeout=1).close()
            found = self.admin.list_topics(timeout=5)
            partitions = [p for topic in found.topics.values() for p in topic.partitions.values()]
            return bool(found.brokers) and all(p.leader >= 0 for p in partitions)
        return False

    def stop(self) -> None:
        """SIGTERM, even when it is paused, and wait until it has gone."""
        self.end(signal.SIGTERM, signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL."""
        self.end(signal.SIGKILL)

    def end(self, *signals: signal.Signals) -> None:
        if self.process is None:
            return
        try:
            for each in signals:
                self.process.send_signal(each)
            self.process.wait(PATIENCE_S)
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            self.tell("")
            self.process = None

    def pause(self) -> None:
        """SIGSTOP: connections stay open, nothing is answered."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def tell(self, line: str) -> None:
        assert self.watchdog.stdin is not None
        self.watchdog.stdin.write(f"{line}\n".encode())

    def tail(self) -> str:
        return self.log.read_bytes()[-TAIL:].decode(errors="replace")

    @property
    def bootstrap(self) -> str:
        """The address of the PLAINTEXT listener."""
        return f"{HOST}:{self.ports['PLAINTEXT']}"

    @property
    def admin(self) -> AdminClient:
        """A new client: one that outlives an outage logs it."""
        return AdminClient({"bootstrap.servers": self.bootstrap})

    def client(
        self, listener: str, user: str = "", password: str | None = None
    ) -> dict[str, str | int | float | bool]:
        """What a client has to be told to use a listener; the password is the user's by default."""
        settings: dict[str, str | int | float | bool] = {
            "bootstrap.servers": f"{HOST}:{self.ports[listener]}",
            "security.protocol": listener,
        }
        if listener.endswith("SSL"):
            settings["ssl.ca.location"] = str(self.folder / "ca.pem")
        if listener.startswith("SASL_"):
            settings["sasl.mechanism"] = "PLAIN"
            settings["sasl.username"] = user
            settings["sasl.password"] = self.users[user] if password is None else password
        return settings

    def create_topic(
        self, name: str, partitions: int = 1, config: Mapping[str, str] | None = None
    ) -> None:
        admin = self.admin
        topic = NewTopic(name, partitions, 1, config=dict(config or {}))
        admin.create_topics([topic])[name].result(PATIENCE_S)

        def is_known() -> bool:
            found = admin.list_topics(name, timeout=5).topics[name].partitions
            return len(found) == partitions and all(each.leader >= 0 for each in found.values())

        until(is_known, f"the topic {name}")

    def allow(self, user: str, operation: str, kind: str, name: str) -> None:
        """Give a user a right, such as `allow("alice", "READ", "TOPIC", "orders")`."""
        admin = self.admin
        right = (
            ResourceType[kind], name, ResourcePatternType.LITERAL,
            f"User:{user}", "*", AclOperation[operation], AclPermissionType.ALLOW,
        )  # fmt: skip
        admin.create_acls([AclBinding(*right)])[AclBinding(*right)].result(PATIENCE_S)
        # the broker learns it a little later than the controller
        wanted = AclBindingFilter(*right)
        until(lambda: bool(admin.describe_acls(wanted).result(PATIENCE_S)), "the right")


def jars() -> Path:
    """The folder with Kafka and what it needs; Maven fetches them once."""
    folder = cache()
    if not folder.is_dir():
        keep(folder, download)
    return folder


def keep(path: Path, make: Callable[[Path], object]) -> None:
    """What is cut, or what two processes begin, is never found half done."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f"{KAFKA}-", dir=path.parent) as partial:
        target = Path(partial) / path.name
        make(target)
        try:
            target.rename(path)
        except OSError:
            if not path.exists():
                raise


def prepare() -> None:
    """Once for all brokers to come: they start in half of the CPU time."""
    jars()
    with (cache().with_name(f"{KAFKA}.lock")).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not archive().exists():
            keep(archive(), archive_classes)


def archive_classes(target: Path) -> None:
    with Broker(options=(*STARTS_FAST, f"-XX:ArchiveClassesAtExit={target}")) as broker:
        broker.create_topic("any")


def archive() -> Path:
    """What Java makes of Kafka's classes; of use for this Java only."""
    java = shutil.which("java")
    assert java is not None
    return cache().with_name(f"{KAFKA}-{os.stat(java).st_mtime_ns}.jsa")


def cache() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "streamproc" / KAFKA


def download(target: Path) -> None:
    command = ["mvn", "--quiet", "--batch-mode", "--file", str(HERE / "pom.xml")]
    goal = ["dependency:copy-dependencies", f"-DoutputDirectory={target}"]
    done = subprocess.run([*command, *goal], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"Maven could not fetch Kafka:\n{(done.stdout + done.stderr)[-TAIL:]}")


def missing() -> str:
    """What has to be installed before a broker can start, or nothing."""
    needed = {"java": "Java 17 (openjdk-17-jre-headless)"}
    if not cache().is_dir():
        needed["mvn"] = "Maven (maven)"
    return ", ".join(name for command, name in needed.items() if shutil.which(command) is None)


def bound() -> socket.socket:
    """A socket on a free port, to which others that reuse addresses can bind too."""
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.bind((HOST, 0))
    return found


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {PATIENCE_S} s for {what}")
        time.sleep(0.02)


def main() -> None:
    with Broker() as broker, suppress(KeyboardInterrupt):
        print(broker.bootstrap, flush=True)
        assert broker.process is not None
        broker.process.wait()


if __name__ == "__main__":
    main()
