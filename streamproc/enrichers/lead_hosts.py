"""Registrable domains, by the Public Suffix List that tldextract bundles.

A host as nearly all are is looked up in the list itself: tldextract can also download a list, and
to import it for that takes a third of the start of a run. It is asked about all other hosts.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tldextract import TLDExtract

# in lower case; no IP address, no name in Punycode
_PLAIN = re.compile(r"(?:(?!xn--)[a-z0-9-]+\.)*[a-z]+")
_LIST = ".tld_set_snapshot"
_PRIVATE = "// ===BEGIN PRIVATE DOMAINS==="  # of those who lend names; not of registries


def registrable(host: str) -> str:
    """The domain that somebody registered. Raises `ValueError` where there is none."""
    if _PLAIN.fullmatch(host) and (suffixes := _suffixes()):
        labels = host.split(".")
        at = _public_suffix(labels, suffixes)
        domain, suffix, is_address = labels[at - 1] if at else "", ".".join(labels[at:]), False
    else:
        name = _tldextract()(host)
        domain, suffix, is_address = name.domain, name.suffix, bool(name.ipv4 or name.ipv6)
    if not suffix:
        raise ValueError("an IP address" if is_address else "unknown top-level domain")
    if not domain:
        raise ValueError("a public suffix, not a domain")
    return f"{domain}.{suffix}".lower()


def prepare() -> None:
    """Read the list."""
    _suffixes()


def _public_suffix(labels: list[str], suffixes: frozenset[str]) -> int:
    """Where it begins; at the end if there is none."""
    for i in range(len(labels)):
        rest, any_below = ".".join(labels[i:]), ".".join(("*", *labels[i + 1 :]))
        if rest in suffixes or (any_below in suffixes and f"!{rest}" not in suffixes):
            return i
        if any_below in suffixes:
            return i + 1
    return len(labels)


@cache
def _suffixes() -> frozenset[str]:
    """Those of registries; none if the list is not where it was."""
    spec = find_spec("tldextract")
    try:
        assert spec is not None
        assert spec.origin is not None
        text = Path(spec.origin).with_name(_LIST).read_text("utf-8")
    except OSError:
        return frozenset()
    lines = text.partition(_PRIVATE)[0].splitlines()
    return frozenset(line for line in lines if line and not line.startswith("//"))


@cache
def _tldextract() -> TLDExtract:
    from tldextract import TLDExtract

    # the bundled list only: never a download, no cache folder written
    return TLDExtract(suffix_list_urls=(), cache_dir=None)
