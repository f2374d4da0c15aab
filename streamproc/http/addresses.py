"""Names to addresses, and which of them a record may not make us talk to.

A record that names a host could name one inside our network. So the addresses of such a
target are checked after resolving, and connections go to the checked address.
"""

from __future__ import annotations

import asyncio
import os
import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

from streamproc.errors import CallError
from streamproc.http.contract import (
    DNS_TTL_S,
    Target,
    cannot_connect,
    lacks_files,
    unreachable,
)

Addresses = list[tuple[int, str]]
"""Address family and address, in the order in which to try them."""

_FAILURE_TTL_S = 1.0  # so that all who wait for a name share its failure
_MAX_NAMES = 4096

# Public by their numbers, or not known as special to every Python 3.11
_SPECIAL = {
    ip_network("168.63.129.16/32"): "a metadata address",  # Azure
    ip_network("192.0.0.0/24"): "a reserved address",  # protocol assignments
    ip_network("192.88.99.0/24"): "a relay",  # 6to4
    ip_network("64:ff9b:1::/48"): "a private address",  # NAT64 of one's own, RFC 8215
    ip_network("fec0::/10"): "a private address",  # site-local, RFC 3879
    ip_network("2001::/32"): "a relay",  # Teredo
    ip_network("3fff::/20"): "a reserved address",  # documentation, RFC 9637
    ip_network("5f00::/16"): "a reserved address",  # segment routing, RFC 9602
}
_EMBEDDING = {  # how far the IPv4 address in it has to be shifted down
    IPv6Network("64:ff9b::/96"): 0,  # NAT64
    IPv6Network("::/96"): 0,  # compatible
    IPv6Network("::ffff:0:0:0/96"): 0,  # translated
    IPv6Network("2002::/16"): 80,  # 6to4
}


def refuse_private(address: str) -> str | None:
    """Why a record may not make us talk to `address`, None if it may.

    Only addresses that are reachable from everywhere are fine. Raises ValueError if it is none.
    """
    ip = ip_address(address)
    if isinstance(ip, IPv6Address):
        inner = _embedded(ip)
        if inner is not None:
            return refuse_private(str(inner))
    for network, what in _SPECIAL.items():
        if ip.version == network.version and ip in network:
            return what
    if ip.is_unspecified:
        return "the unspecified address"
    if ip.is_loopback:
        return "a loopback address"
    if ip.is_link_local:
        return "a link-local address"
    if ip.is_multicast:
        return "a multicast address"
    if ip.is_reserved:
        return "a reserved address"
    return None if ip.is_global else "a private address"


def _embedded(ip: IPv6Address) -> IPv4Address | None:
    if ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    if ip.is_unspecified or ip.is_loopback:
        return None
    for network, shift in _EMBEDDING.items():
        if ip in network:
            return IPv4Address(int(ip) >> shift & 0xFFFFFFFF)
    return None


class Resolver:
    """Looks names up, once a minute each."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, Addresses | OSError | UnicodeError]] = {}
        self._under_way: dict[str, asyncio.Lock] = {}

    async def kinds(self, target: Target) -> frozenset[str]:
        """Which sorts of addresses it has that are not public, in the words of the refusal."""
        found = await self._look_up(target.host)
        addresses = found if isinstance(found, list) else []
        return frozenset(filter(None, [refuse_private(address) for _, address in addresses]))

    async def resolve(self, target: Target, may_be: frozenset[str] | None = None) -> Addresses:
        """At least one address. Raises `CallError`: `dns`, or `connect` for one that is refused.

        A record may name a host only if all of its addresses are public; a redirect, if those
        that are not are of the sorts in `may_be`.
        """
        found = await self._look_up(target.host)
        if isinstance(found, OSError):
            if lacks_files(found):
                raise unreachable(target, found) from found
            unknown = ", is it spelt right?" if found.errno == socket.EAI_NONAME else ""
            raise cannot_connect(target, f"{found.strerror or found}{unknown}", "dns") from found
        if isinstance(found, UnicodeError):
            raise CallError("dns", f"{target.authority}: not a host name") from found
        if target.is_from_record:
            may_be = frozenset()
        if may_be is not None:
            for _, address in found:
                reason = refuse_private(address)
                if reason is not None and reason not in may_be:
                    raise CallError("connect", _refusal(target, address, reason))
        return found

    async def _look_up(self, host: str) -> Addresses | OSError | UnicodeError:
        loop = asyncio.get_running_loop()
        known = self._known.get(host)
        if known is not None and known[0] > loop.time():
            return known[1]
        lock = self._under_way.setdefault(host, asyncio.Lock())
        async with lock:  # the others who wait find it, too
            known = self._known.get(host)
            if known is not None and known[0] > loop.time():
                return known[1]
            try:
                found = await _ask(host)
            finally:
                self._under_way.pop(host, None)
            ttl_s = DNS_TTL_S if isinstance(found, list) else _FAILURE_TTL_S
            if len(self._known) >= _MAX_NAMES:
                self._known.clear()
            self._known[host] = loop.time() + ttl_s, found
            return found


async def _ask(host: str) -> Addresses | OSError | UnicodeError:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        return _lack_of_files() or error
    except UnicodeError as error:
        return error
    addresses = [(int(family), str(address[0])) for family, _, _, _, address in found]
    return addresses or OSError(f"no address for {host}")


def _lack_of_files() -> OSError | None:
    """The C library does not say that it could not open a socket: it finds no such name."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error if lacks_files(error) else None
    return None


def _refusal(target: Target, address: str, reason: str) -> str:
    shown = target.host if address == target.host else f"{target.host} ({address})"
    who = "record" if target.is_from_record else "redirect"
    return f"{shown} is {reason}, where a {who} may not send us"
