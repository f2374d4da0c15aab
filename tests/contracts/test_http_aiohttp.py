"""What only the aiohttp client does: redirects, proxies."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

import pytest
from asking import World, echoed, good, outcome
from servers.running import HOST

from streamproc.errors import ConfigError
from streamproc.http.contract import Target, Tls
from streamproc.http.host import listed

FOLLOW = {"redirects": 5}
SECRET = b"Accept: a/b\r\nAuthorization: Bearer x\r\nX-Api-Key: y\r\nCookie: a=b\r\n"


def test_redirects_are_followed_to_their_end(aiohttp_world: World) -> None:
    world = aiohttp_world
    assert good(world.ask("/redirect/chain?n=5", options=FOLLOW)) == "/redirect/chain"
    assert world.server.stats()["paths"] == {"/redirect/chain": 6}
    assert world.server.stats()["connections"]["accepted"] == 1


@pytest.mark.parametrize("path", ["/redirect/loop", "/redirect/to?url=/redirect/to%3Furl=/ok%23x"])
def test_circles_and_too_many_are_bad_answers(aiohttp_world: World, path: str) -> None:
    world = aiohttp_world
    error = world.fails("/redirect/loop", options=FOLLOW)
    assert (error.kind, error.again) == ("bad_answer", False)
    assert "round in circles" in error.message
    error = world.fails("/redirect/chain?n=6", options=FOLLOW)
    assert "more than 5 redirects" in error.message
    assert world.server.stats()["paths"]["/redirect/chain"] == 6
    assert good(world.ask(path.replace("loop", "chain"), options=FOLLOW))


@pytest.mark.parametrize("url", ["ftp://x/", "//", "http://[::1", "https://u:p@x/", "http://x:y/"])
def test_useless_places_are_bad_answers(aiohttp_world: World, url: str) -> None:
    world = aiohttp_world
    assert world.fails(f"/redirect/to?url={url}", options=FOLLOW).kind == "bad_answer"


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_methods_and_bodies_change_as_the_standard_says(
    aiohttp_world: World, method: str, code: int
) -> None:
    body = b"" if method == "GET" else b"{}"
    headers = b"X-Api-Key: y\r\nContent-Type: text/x\r\n"
    path = f"/redirect/to?url=/echo%3Fa=%252F&code={code}"
    asked = {"method": method, "body": body, "headers": headers}
    echo = echoed(aiohttp_world.ask(path, options=FOLLOW, **asked))
    is_get = method == "GET" or code == 303 or (method == "POST" and code in (301, 302))
    assert echo["method"] == ("GET" if is_get else method)
    assert echo["body"] == ("" if is_get else "{}")
    assert echo["query"] == "a=%2F"
    assert echo["headers"]["x-api-key"] == "y"
    assert ("content-type" in echo["headers"]) == (code != 303 if method == "GET" else not is_get)


def test_secrets_stay_where_they_belong(aiohttp_world: World) -> None:
    """Another scheme, host or port gets none of the headers that may be secret."""
    world = aiohttp_world
    options = FOLLOW | {"tls": Tls(ca=str(world.server.ca_file))}
    elsewhere = [
        f"http://localhost:{world.server.port}/echo", f"{world.server.tls_url()}/echo",
        f"//localhost:{world.server.port}/echo",
    ]  # fmt: skip
    for url in elsewhere:
        echo = echoed(world.ask(f"/redirect/to?url={url}", headers=SECRET, options=options))
        assert set(echo["headers"]) == {"host", "accept", "accept-encoding", "user-agent"}
        assert echo["headers"]["accept"] == "a/b"
    echo = echoed(world.ask("/redirect/to?url=/echo", headers=SECRET, options=options))
    assert echo["headers"]["authorization"] == "Bearer x"
    assert echo["headers"]["cookie"] == "a=b"


def test_a_record_is_not_led_to_private_addresses(
    aiohttp_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = aiohttp_world
    reasons = {HOST: None, "127.0.0.2": "a loopback address"}
    monkeypatch.setattr("streamproc.http.addresses.refuse_private", reasons.__getitem__)
    target = Target("http", HOST, world.server.port, is_from_record=True)
    path = f"/redirect/to?url=http://127.0.0.2:{target.port}/ok"
    error = world.fails(path, target=target, options=FOLLOW)
    assert (error.kind, error.again, error.is_outage) == ("connect", False, False)
    assert world.server.stats()["total"] == 1


@pytest.mark.parametrize("hosts", [[], ["http://127.0.0.2:PORT", "https://127.0.0.2:PORT"]])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_public_service_does_not_lead_to_private_addresses(
    aiohttp_world: World, monkeypatch: pytest.MonkeyPatch, hosts: list[str], scheme: str
) -> None:
    """Also if the pipeline file names the service, and lists where else it may lead."""
    world = aiohttp_world
    reasons = {HOST: None, "127.0.0.2": "a loopback address"}
    monkeypatch.setattr("streamproc.http.addresses.refuse_private", reasons.__getitem__)
    to = f"{scheme}://127.0.0.2:{world.server.port}/ok"
    options = FOLLOW | {
        "allow_hosts": listed(each.replace("PORT", str(world.server.port)) for each in hosts)
    }
    error = world.fails(f"/redirect/to?url={to}", options=options)
    assert (error.kind, error.again, error.is_outage) == ("connect", False, False)
    assert "where a redirect may not send us" in error.message
    assert world.server.stats()["total"] == 1
    reasons[HOST] = "a private address"  # and one kind of them does not lead to another
    assert world.fails(f"/redirect/to?url={to}", options=options).kind == "connect"
    reasons[HOST] = "a loopback address"
    error = world.fails(f"/redirect/to?url={to}", options=options)  # nobody listens there
    assert "may not send us" not in error.message
    assert error.again


@pytest.mark.parametrize(
    ("method", "code", "body"),
    [("POST", 307, b"{}"), ("POST", 308, b""), ("PUT", 301, b"{}"), ("DELETE", 302, b""),
     ("PATCH", 307, b"{}"), ("GET", 307, b"{}")],
)  # fmt: skip
def test_only_a_plain_get_goes_to_another_origin(
    aiohttp_world: World, method: str, code: int, body: bytes
) -> None:
    """What is in a body may be a secret, and what a method does was meant for this service."""
    world = aiohttp_world
    for to in (f"http://localhost:{world.server.port}/echo", f"{world.server.tls_url()}/echo"):
        world.server.reset()
        path = f"/redirect/to?url={to}&code={code}"
        error = world.fails(path, options=FOLLOW, method=method, body=body)
        assert (error.kind, error.again) == ("bad_answer", False)
        assert "another origin" in error.message
        assert world.server.stats()["total"] == 1


def test_no_redirect_leads_out_of_tls(aiohttp_world: World) -> None:
    world = aiohttp_world
    options = FOLLOW | {"tls": Tls(ca=str(world.server.ca_file))}
    path = f"/redirect/to?url=http://{HOST}:{world.server.port}/ok"
    error = world.fails(path, target=world.tls(), options=options)
    assert (error.kind, error.again) == ("bad_answer", False)
    assert "plain http" in error.message
    assert world.server.stats()["total"] == 1


@pytest.mark.parametrize(
    ("url", "is_listed"),
    [("http://127.0.0.1:PORT/ok", True), ("http://localhost:PORT/ok", True), ("/ok", True),
     ("http://127.0.0.2:PORT/ok", False), ("//localhost.evil.example/", False),
     ("http://localhost\\.evil.example/", False), ("http://LOCALHOST:PORT/ok", True)],
)  # fmt: skip
@pytest.mark.parametrize("is_from_record", [True, False])
def test_redirects_lead_to_listed_hosts_only(
    aiohttp_world: World, monkeypatch: pytest.MonkeyPatch, url: str, is_listed: bool,
    is_from_record: bool,
) -> None:  # fmt: skip
    """A service that a record may name must not decide whom else we talk to."""
    world = aiohttp_world
    monkeypatch.setattr("streamproc.http.addresses.refuse_private", lambda address: None)
    target = Target("http", HOST, world.server.port, is_from_record)
    path = f"/redirect/to?url={url.replace('PORT', str(target.port))}"
    options = FOLLOW | {"allow_hosts": listed([f"http://localhos?:{target.port}"])}
    if is_listed:
        assert good(world.ask(path, target=target, options=options)) == "/ok"
    else:
        error = world.fails(path, target=target, options=options)
        assert (error.kind, error.again) == ("bad_answer", False)
        assert world.server.stats()["total"] == 1


class Proxy:
    """Forwards requests and tunnels, and notes the first lines and the credentials."""

    def __init__(self, refuses: bytes = b"") -> None:
        self.seen: list[tuple[str, str]] = []
        self.refuses = refuses

    async def __aenter__(self) -> Proxy:
        self.server = await asyncio.start_server(self.serve, HOST, 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *error: object) -> None:
        self.server.close()
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            lines = head.decode().split("\r\n")
            names = [line for line in lines if line.lower().startswith("proxy-authorization")]
            self.seen.append((lines[0], *names) if names else (lines[0], ""))
            method, url, _ = lines[0].split(" ")
            if self.refuses:
                writer.write(b"HTTP/1.1 %b\r\nContent-Length: 0\r\n\r\n" % self.refuses)
            elif method == "CONNECT":
                host, _, port = url.rpartition(":")
                await self.tunnel(reader, writer, host, int(port), b"")
            else:
                host, _, port = url.split("/")[2].partition(":")
                await self.tunnel(reader, writer, host, int(port), origin_form(head))
        writer.close()

    async def tunnel(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        host: str,
        port: int,
        first: bytes,
    ) -> None:
        there, back = await asyncio.open_connection(host, port)
        back.write(first)
        if not first:
            writer.write(b"HTTP/1.1 200 Established\r\n\r\n")
        await asyncio.gather(pump(reader, back), pump(there, writer))


def origin_form(head: bytes) -> bytes:
    method, url, rest = head.split(b" ", 2)
    return b"%b /%b %b" % (method, url.split(b"/", 3)[3], rest)


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
    writer.close()


def through(world: World, proxy: Proxy, main: Coroutine[Any, Any, Any]) -> None:
    async def run() -> None:
        async with proxy:
            await main

    world.run(run())


@pytest.fixture
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("http_proxy", "https_proxy", "no_proxy", "REQUEST_METHOD"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


def test_the_proxies_of_the_environment_are_used(
    aiohttp_world: World, no_proxies: pytest.MonkeyPatch
) -> None:
    """Plain requests in the absolute form, exactly as given; TLS in a tunnel, verified."""
    world, proxy, patch = aiohttp_world, Proxy(), no_proxies

    async def main() -> None:
        patch.setenv("http_proxy", f"http://us%40er:pw@{HOST}:{proxy.port}")
        patch.setenv("https_proxy", f"{HOST}:{proxy.port}")
        tls = Tls(ca=str(world.server.ca_file))
        async with world.client(tls=tls) as client:
            echo = echoed(await client.send(world.request("/echo?a=%2F+b", body=b"{}")))
            assert (echo["query"], echo["body"]) == ("a=%2F+b", "{}")
            request = world.request("/echo?a=%2F", target=world.tls())
            echo = echoed(await client.send(request))
            assert "proxy-authorization" not in echo["headers"]
            got = await outcome(client, world.request("/ok", target=world.tls("expired")))
            assert got == ("tls", False, False, True, False)

    through(world, proxy, main())
    credentials = "Proxy-Authorization: Basic dXNAZXI6cHc="
    assert proxy.seen == [
        (f"POST http://{HOST}:{world.server.port}/echo?a=%2F+b HTTP/1.1", credentials),
        (f"CONNECT {HOST}:{world.tls().port} HTTP/1.1", ""),
        (f"CONNECT {HOST}:{world.tls('expired').port} HTTP/1.1", ""),
    ]


@pytest.mark.parametrize(("status", "again"), [(b"407 No", False), (b"502 Bad", True)])
def test_a_proxy_that_refuses_is_no_connection(
    aiohttp_world: World, no_proxies: pytest.MonkeyPatch, status: bytes, again: bool
) -> None:
    world, proxy = aiohttp_world, Proxy(refuses=status)

    async def main() -> None:
        no_proxies.setenv("https_proxy", f"http://{HOST}:{proxy.port}")
        async with world.client() as client:
            got = await outcome(client, world.request("/ok", target=world.tls(), body=b"{}"))
            assert got == ("connect", again, False, True, False)

    through(world, proxy, main())


def test_no_proxy_is_heeded(aiohttp_world: World, no_proxies: pytest.MonkeyPatch) -> None:
    no_proxies.setenv("http_proxy", "http://127.0.0.1:1")
    assert aiohttp_world.fails("/ok").kind == "connect"
    no_proxies.setenv("no_proxy", "127.0.0.1")
    assert good(aiohttp_world.ask("/ok")) == "/ok"


def test_other_proxies_are_refused_at_once(
    aiohttp_world: World, no_proxies: pytest.MonkeyPatch
) -> None:
    for proxy in ("socks5://127.0.0.1:1", "http://me:s3cret@h:99999", "http://me:s3cret@a b:1"):
        no_proxies.setenv("https_proxy", proxy)
        with pytest.raises(ConfigError, match="https_proxy") as caught:
            aiohttp_world.ask("/ok")
        assert "s3cret" not in str(caught.value)


def test_behind_a_proxy_no_record_names_the_host(
    aiohttp_world: World, no_proxies: pytest.MonkeyPatch
) -> None:
    """Nobody could check the address that is connected to."""
    no_proxies.setenv("http_proxy", "http://127.0.0.1:1")
    error = aiohttp_world.fails("/ok", target=Target("http", "192.0.2.1", 80, is_from_record=True))
    assert (error.kind, error.again, error.is_outage) == ("connect", False, False)
    error = aiohttp_world.fails("/ok", target=Target("http", "1.1.1.1", 80, is_from_record=True))
    assert (error.kind, error.again, error.is_outage) == ("connect", False, False)
    assert "proxy" in error.message
