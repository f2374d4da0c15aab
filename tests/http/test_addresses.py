"""Which addresses a record may not make us talk to; and names, looked up once a minute."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.errors import CallError
from streamproc.http import addresses
from streamproc.http.addresses import Resolver, refuse_private
from streamproc.http.contract import Target

PRIVATE = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.0.9",
    "169.254.169.254", "169.254.0.1", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1",
    "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1",
    "239.255.255.255", "240.0.0.1", "255.255.255.255", "168.63.129.16",
    "::", "::1", "::2", "::7f00:1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1",
    "2002:7f00:1::", "2002:a00:1::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1",
    "fe80::1%eth0", "febf::1", "fec0::1", "ff02::1", "ff0e::1", "4000::1", "::ffff:0.0.0.0",
]  # fmt: skip
PUBLIC = [
    "1.1.1.1", "8.8.8.8", "93.184.216.34", "172.32.0.1", "100.128.0.1", "192.0.1.1",
    "2606:4700::1111", "2a00:1450:4001::1", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_what_is_not_reachable_from_everywhere_is_refused(address: str) -> None:
    assert refuse_private(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_fine(address: str) -> None:
    assert refuse_private(address) is None


@given(inner=st.ip_addresses(v=4))
def test_an_address_within_another_counts(inner: IPv4Address) -> None:
    """As it comes from IPv4 hosts in networks that have only IPv6."""
    number = int(inner)
    for outer in (0xFFFF << 32 | number, 0x64FF9B << 96 | number, 0x2002 << 112 | number << 80):
        assert refuse_private(str(IPv6Address(outer))) == refuse_private(str(inner))


@given(address=st.ip_addresses())
def test_nothing_is_allowed_that_python_calls_private(address: Any) -> None:
    if not ip_address(str(address)).is_global or address.is_multicast:
        embedded = address.version == 6 and addresses._embedded(address) is not None
        assert embedded or refuse_private(str(address))


def test_what_is_no_address_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"127\.1"):
        refuse_private("127.1")


class Names:
    """A `getaddrinfo` that is counted, and can be told what to find."""

    def __init__(self, **found: Any) -> None:
        self.found = found
        self.asked: list[str] = []

    async def __call__(self, host: str, port: Any, **options: Any) -> Any:
        self.asked.append(host)
        await asyncio.sleep(0)
        found = self.found[host.partition(".")[0]]
        if isinstance(found, Exception):
            raise found
        family = {True: socket.AF_INET6, False: socket.AF_INET}
        return [(family[":" in each], 1, 6, "", (each, 0)) for each in found]


def resolve(
    monkeypatch: pytest.MonkeyPatch, names: Names, hosts: list[str], *, is_from_record: bool
) -> list[Any]:
    """All of them at once, by one resolver."""

    async def main() -> list[Any]:
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", names)
        resolver = Resolver()
        targets = [Target("http", host, 80, is_from_record) for host in hosts]
        return await asyncio.gather(*map(resolver.resolve, targets), return_exceptions=True)

    return asyncio.run(main())


def test_a_name_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names(a=["1.1.1.1", "2606:4700::1111"], b=["8.8.8.8"])
    got = resolve(monkeypatch, names, ["a", "b", "a", "a"], is_from_record=True)
    a = [(socket.AF_INET, "1.1.1.1"), (socket.AF_INET6, "2606:4700::1111")]
    assert got == [a, [(socket.AF_INET, "8.8.8.8")], a, a]
    assert names.asked == ["a", "b"]


def test_it_is_looked_up_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names(a=["1.1.1.1"])
    monkeypatch.setattr(addresses, "DNS_TTL_S", -1)
    assert len(resolve(monkeypatch, names, ["a"] * 3, is_from_record=False)) == 3
    assert names.asked == ["a"] * 3


def test_one_private_address_among_others_refuses_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names(a=["1.1.1.1", "10.0.0.1"])
    (error,) = resolve(monkeypatch, names, ["a"], is_from_record=True)
    assert isinstance(error, CallError)
    assert (error.kind, error.again, error.is_outage) == ("connect", False, False)
    assert error.message == "a (10.0.0.1) is a private address, where a record may not send us"
    assert len(resolve(monkeypatch, names, ["a"], is_from_record=False)[0]) == 2


def test_a_name_without_an_address_may_have_one_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those who wait for it share the failure, and each gets an error of its own."""
    names = Names(a=socket.gaierror(-2, "Name or service not known"), b=[])
    errors = resolve(monkeypatch, names, ["a", "a", "b"], is_from_record=False)
    assert [(e.kind, e.again, e.is_outage) for e in errors] == [("dns", True, True)] * 3
    assert errors[0].message == "a: Name or service not known, is it spelt right?"
    assert errors[0] is not errors[1]
    assert names.asked == ["a", "b"]


def test_what_can_be_no_name_will_never_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names(a=UnicodeError("label too long"))
    (error,) = resolve(monkeypatch, names, ["a..b"], is_from_record=False)
    assert (error.kind, error.again) == ("dns", False)


def test_a_cancelled_look_up_does_not_cancel_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names(a=["1.1.1.1"])

    async def main() -> None:
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", names)
        resolver = Resolver()
        target = Target("http", "a", 80)
        first, second = (asyncio.create_task(resolver.resolve(target)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == [(socket.AF_INET, "1.1.1.1")]
        assert first.cancelled()

    asyncio.run(main())


def test_what_is_known_does_not_grow_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "_MAX_NAMES", 10)
    names = Names(a=["1.1.1.1"])
    hosts = [f"a.{n}" for n in range(100)]

    async def main() -> None:
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", names)
        resolver = Resolver()
        for host in hosts:
            await resolver.resolve(Target("http", host, 80))
        assert len(resolver._known) <= 10
        assert not resolver._under_way

    asyncio.run(main())


def test_who_gives_up_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name whose server does not answer is asked for again, and is not kept for ever."""
    asked: list[str] = []

    async def ask(host: str) -> Any:
        asked.append(host)
        if len(asked) == 1:
            await asyncio.sleep(60)
        return [(2, "192.0.2.1")]

    monkeypatch.setattr(addresses, "_ask", ask)

    async def main() -> None:
        resolver = Resolver()
        target = Target("http", "silent.example", 80)
        tasks = [asyncio.create_task(resolver.resolve(target)) for _ in range(3)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        assert await tasks[1] == await tasks[2] == [(2, "192.0.2.1")]
        assert asked == ["silent.example"] * 2
        asked.clear()
        alone = asyncio.create_task(resolver.resolve(Target("http", "other.example", 80)))
        await asyncio.sleep(0)
        alone.cancel()
        await asyncio.gather(alone, return_exceptions=True)
        assert not resolver._under_way

    asyncio.run(main())
