"""The misbehaving server in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any

from .certificates import make_certificates

HOST = "127.0.0.1"
PATIENCE_S = 30
TESTS = Path(__file__).parent.parent


class Server:
    """Start the server on entry and stop it on exit; `tls=False` saves making certificates."""

    def __init__(self, *, tls: bool = True) -> None:
        self.tls = tls

    def __enter__(self) -> Server:
        self.folder = TemporaryDirectory(prefix="misbehaving-")
        try:
            self.start()
        except BaseException:
            self.folder.cleanup()
            raise
        return self

    def start(self) -> None:
        command = [sys.executable, "-m", f"{__package__}.misbehaving".removeprefix("tests.")]
        if self.tls:
            self.ca_file = make_certificates(Path(self.folder.name))
            command.append(self.folder.name)
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            [*command, "--until-eof"], stdin=pipe, stdout=pipe, cwd=TESTS
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.stop()
            raise RuntimeError("the misbehaving server did not start")
        self.ports: dict[str, Any] = json.loads(line)
        self.url = f"http://{HOST}:{self.ports['main']}"

    def stop(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.stop()
        finally:
            self.folder.cleanup()

    @property
    def port(self) -> int:
        return int(self.ports["main"])

    def tls_url(self, kind: str = "good", host: str = HOST) -> str:
        """The same behaviours behind a certificate: good, expired, foreign, or wronghost."""
        return f"https://{host}:{self.ports['tls'][kind]}"

    def stats(self) -> dict[str, Any]:
        return self.control("GET", "/stats")

    def reset(self) -> None:
        """Forget all counts, and what behaviours remember."""
        self.control("POST", "/reset")

    def down(self, seconds: float) -> None:
        """Reset the main port's connections, and refuse new ones for so long."""
        self.control("POST", f"/down?s={seconds}")

    def control(self, method: str, target: str) -> dict[str, Any]:
        connection = HTTPConnection(HOST, self.ports["admin"], timeout=PATIENCE_S)
        try:
            connection.request(method, target)
            answer = connection.getresponse()
            body: dict[str, Any] = json.loads(answer.read())
        finally:
            connection.close()
        if answer.status != 200:
            raise RuntimeError(f"{method} {target}: {answer.status} {body}")
        return body
