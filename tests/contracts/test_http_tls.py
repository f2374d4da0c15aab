"""TLS: who is trusted; and addresses that a record may not make us talk to."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest
from asking import World, echoed, good, outcome
from msgspec.structs import replace
from servers.certificates import KINDS, request
from servers.running import HOST

from streamproc.errors import ConfigError
from streamproc.http import addresses
from streamproc.http.connection import Connection
from streamproc.http.contract import Response, Target, Tls
from streamproc.interfaces import RecheckError, Standing

REFUSED = ("tls", False, False, True, False)
NOT_ALLOWED = ("connect", False, False, False, False)


def trusting(world: World) -> dict[str, Any]:
    return {"tls": Tls(ca=str(world.server.ca_file)), "connections": 2}


@pytest.mark.parametrize("host", [HOST, "localhost"])
def test_a_good_certificate_is_accepted(world: World, host: str) -> None:
    async def main() -> None:
        async with world.client(**trusting(world)) as client:
            target = world.tls(host=host)
            sent = [client.send(world.request("/ok", target=target)) for _ in range(20)]
            assert {good(each) for each in await asyncio.gather(*sent)} == {"/ok"}
            echo = echoed(await client.send(world.request("/echo?a=b", target=target, body=b"x")))
            assert echo["headers"]["host"] == f"{host}:{target.port}"

    world.run(main())
    assert world.server.stats()["connections"]["accepted"] <= 2


@pytest.mark.parametrize("path", ["/close/before", "/close/body", "/bad-header", "/headers/many"])
def test_broken_answers_are_the_same_facts_as_without(world: World, path: str) -> None:
    expected = {"/bad-header": "bad_answer", "/headers/many": "answer_too_large"}.get(path, "reset")
    error = world.fails(path, target=world.tls(), options=trusting(world))
    assert error.kind == expected


@pytest.mark.parametrize("certificate", ["expired", "foreign", "wronghost"])
def test_a_bad_certificate_is_refused_for_good(world: World, certificate: str) -> None:
    """Nothing of the request is sent, and another attempt makes no sense."""

    async def main() -> None:
        async with world.client(**trusting(world)) as client:
            for body in (b"", b"{}"):
                request = world.request("/ok", target=world.tls(certificate), body=body)
                assert await outcome(client, request) == REFUSED

    world.run(main())
    error = world.fails("/ok", target=world.tls(certificate), options=trusting(world))
    assert "its certificate is not accepted" in error.message
    assert world.server.stats()["total"] == 0


def test_only_the_given_authority_is_trusted(world: World) -> None:
    assert world.fails("/ok", target=world.tls()).kind == "tls"


@pytest.mark.parametrize("certificate", KINDS)
def test_any_certificate_is_accepted_where_that_is_dangerously_set(
    world: World, certificate: str
) -> None:
    options = {"tls": Tls(dangerously_accept_any_certificate=True)}
    assert good(world.ask("/ok", target=world.tls(certificate), options=options)) == "/ok"


def test_no_tls_where_tls_is_expected(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the other side waits for more or hangs up."""
    for module in ("lean", "aiohttp", "aiohttp_connection"):
        monkeypatch.setattr(f"streamproc.http.{module}.CONNECT_TIMEOUT_S", 0.1)
    plain = Target("https", HOST, world.server.port)
    assert world.fails("/ok", target=plain, options=trusting(world)).kind in ("tls", "connect")
    encrypted = Target("http", HOST, world.tls().port)
    assert world.fails("/ok", target=encrypted).kind in ("bad_answer", "reset")


def test_a_cancelled_handshake_leaves_nothing(world: World) -> None:
    async def main() -> None:
        async with world.client(**trusting(world)) as client:
            for turns in range(0, 24, 2):
                request = world.request("/ok", target=world.tls())
                task = asyncio.create_task(client.send(request))
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            response = await client.send(world.request("/ok", target=world.tls()))
            assert good(response) == "/ok"

    world.run(main())


@pytest.mark.parametrize("kind", ["lean"])
def test_a_handshake_is_cancelled_as_it_ends(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its transport waits for no farewell: the next one may have the same descriptor."""
    tasks: list[asyncio.Task[Response]] = []
    made = Connection.connection_made

    def cancelled(self: Connection, transport: asyncio.BaseTransport) -> None:
        made(self, transport)
        if tasks:
            tasks.pop().cancel()

    monkeypatch.setattr(Connection, "connection_made", cancelled)

    async def main() -> None:
        async with world.client(**trusting(world)) as client:
            task = asyncio.create_task(client.send(world.request("/ok", target=world.tls())))
            tasks.append(task)
            with pytest.raises(asyncio.CancelledError):
                await task
            assert good(await client.send(world.request("/ok", target=world.tls()))) == "/ok"

    world.run(main())


def test_a_client_shows_its_own_certificate(world: World, tmp_path: Path) -> None:
    request(tmp_path, "client", "-x509", "-days", "2")
    folder = world.server.folder.name
    accepting = ssl.create_default_context(
        ssl.Purpose.CLIENT_AUTH, cafile=str(tmp_path / "client.pem")
    )
    accepting.load_cert_chain(f"{folder}/good.pem", f"{folder}/good.key")
    accepting.verify_mode = ssl.CERT_REQUIRED
    plain = Tls(ca=f"{folder}/ca.pem")
    own = replace(plain, cert=str(tmp_path / "client.pem"), key=str(tmp_path / "client.key"))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        shown = writer.get_extra_info("peercert")["subject"][-1][-1][-1].encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(shown), shown))
        await reader.read()
        writer.close()

    async def main() -> None:
        async with await asyncio.start_server(serve, HOST, 0, ssl=accepting) as server:
            target = Target("https", HOST, server.sockets[0].getsockname()[1])
            async with world.client(tls=own) as client:
                response = await client.send(world.request("/", target=target))
            assert response.body == b"streamproc client"
            async with world.client(tls=plain) as client:
                got = await outcome(client, world.request("/", target=target))
            assert got[0] in ("tls", "reset")
            await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})

    world.run(main())


@pytest.mark.parametrize("tls", [{"ca": "/no/such"}, {"cert": "/no/such"}, {"key": "/no/such"}])
def test_entering_refuses_files_that_are_no_good(world: World, tls: dict[str, str]) -> None:
    """Constructing touches nothing."""
    client = world.client(tls=Tls(**tls))

    async def main() -> None:
        async with client:
            pass

    with pytest.raises(ConfigError, match=f"tls.{next(iter(tls))}"):
        world.run(main())


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "::1", "0.0.0.0", "127.1", "2130706433", "0x7f.0.0.1",
     "::ffff:127.0.0.1", "::", "169.254.169.254", "10.0.0.1", "64:ff9b::7f00:1"],
)  # fmt: skip
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_record_may_not_name_a_private_address(world: World, scheme: str, host: str) -> None:
    """However it is written; nobody is connected to."""
    target = Target(scheme, host, world.server.port, is_from_record=True)

    async def main() -> None:
        async with world.client() as client:
            for _ in range(2):
                assert await outcome(client, world.request("/ok", target=target)) == NOT_ALLOWED

    world.run(main())
    assert world.server.stats()["connections"]["accepted"] == 0


def test_the_checked_address_is_the_one_connected_to(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name is looked up once a minute; what came then is checked, and used."""
    asked = []

    async def ask(host: str) -> Any:
        asked.append(host)
        return [(2, HOST)] if len(asked) == 1 else [(2, "192.0.2.1")]

    monkeypatch.setattr(addresses, "_ask", ask)
    named = Target("http", "some.example", world.server.port, is_from_record=True)

    async def main() -> None:
        async with world.client(connections=3) as client:
            monkeypatch.setattr(addresses, "refuse_private", {HOST: None}.__getitem__)
            sent = [client.send(world.request("/echo", target=named)) for _ in range(3)]
            for response in await asyncio.gather(*sent):
                assert echoed(response)["headers"]["host"] == f"some.example:{named.port}"

    world.run(main())
    assert asked == ["some.example"]


class Gate:
    """Says after a handshake what it is told to say; see `interfaces.WriteGate`."""

    def __init__(self, *may_write: bool) -> None:
        self.asked: list[str] = []
        self._may_write = list(may_write)

    def postpone(self, standing: Standing) -> None:
        self.asked.append("postpone")

    def may_write(self, standing: Standing) -> bool:
        self.asked.append("may_write")
        return self._may_write.pop(0)

    def answering(self, standing: Standing) -> None:
        self.asked.append("answering")


def test_who_had_to_connect_asks_before_it_writes(world: World) -> None:
    """If it may not write now the connection is kept, for whoever comes next without asking."""
    gate = Gate(False, True)

    async def main() -> None:
        async with world.client(**trusting(world)) as client:
            request = world.request("/ok", target=world.tls())
            request.standing = Standing(gate=gate)
            with pytest.raises(RecheckError):
                await client.send(request)
            assert world.server.stats()["total"] == 0
            assert good(await client.send(request)) == "/ok"
            assert gate.asked == ["postpone", "may_write"]
            slow = world.request("/ok?s=0.2", target=world.tls())
            slow.standing = request.standing
            both = await asyncio.gather(client.send(request), client.send(slow))
            assert {good(each) for each in both} == {"/ok"}
            assert gate.asked == ["postpone", "may_write"] * 2

    world.run(main())
    assert world.server.stats()["connections"]["accepted"] == 2


def test_who_cannot_connect_is_not_asked_whether_it_writes(world: World) -> None:
    gate = Gate()

    async def main() -> None:
        async with world.client(**trusting(world)) as client:
            request = world.request("/ok", target=world.tls("expired"))
            request.standing = Standing(gate=gate)
            assert await outcome(client, request) == REFUSED

    world.run(main())
    assert gate.asked == ["postpone"]
