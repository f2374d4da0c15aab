"""Which client a stage gets, and why."""

from __future__ import annotations

import os
from typing import Literal

from streamproc.http.contract import Client, ClientOptions, Target


def open_client(
    wanted: Literal["auto", "lean", "aiohttp"], options: ClientOptions, target: Target | None
) -> tuple[Client, str]:
    """The client, not entered yet, and a sentence on the choice. `target` None: records name it."""
    reason = _needs_aiohttp(options, target)
    if wanted == "aiohttp" or (wanted == "auto" and reason is not None):
        from streamproc.http.aiohttp import AiohttpClient

        return AiohttpClient(options), f"client aiohttp, {reason or 'as it is set'}"
    from streamproc.http.lean import LeanClient

    why = "as it is set" if wanted == "lean" else "nothing that is set needs another"
    return LeanClient(options), f"client lean, {why}"


def _needs_aiohttp(options: ClientOptions, target: Target | None) -> str | None:
    if options.redirects:
        return "for redirects"
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return None  # as below; what is imported there takes longer than all else of this client
    from urllib.request import getproxies_environment, proxy_bypass

    proxies = getproxies_environment()
    scheme = target.scheme if target is not None else None
    if not any(name in proxies for name in ([scheme] if scheme else ["http", "https"])):
        return None
    if target is not None and proxy_bypass(target.host):
        return None
    return "for the proxy that the environment names"
