"""`scheme://...?key=value` → the table of a connector, as in the pipeline file."""

from __future__ import annotations

import re
from typing import get_type_hints

import msgspec

from streamproc.config.registry import SCHEMES, connector, schemes
from streamproc.errors import UsageError
from streamproc.interfaces import Connector, EndRecipe
from streamproc.nearest import nearest
from streamproc.secrets import hide
from streamproc.types import Table
from streamproc.units import decode_hook

_ADDRESS = r"([a-z][a-z0-9+.-]*)://"


def scheme_of(name: str | None) -> str | None:
    """The scheme of an address, None for the name of a file."""
    found = re.match(_ADDRESS, name) if name and "://" in name else None
    return found[1] if found else None


def table_of(address: str, *, is_source: bool) -> Table:
    """The table of `[source]` or `[sink]` that `address` means. Raises `UsageError`."""
    kind = connector_of(address)
    _hide(kind, address)
    recipe = recipe_of(kind, is_source=is_source)
    if recipe is None:
        raise UsageError(f"{address}: it can be {of_other_side(is_source=is_source)}")
    table = kind.table_of(address, is_source=is_source)
    return {str(scheme_of(address)): _plain(recipe, address) if table is None else table}


def connector_of(address: str) -> type[Connector]:
    """Whose address it is. Raises `UsageError`."""
    scheme = str(scheme_of(address))
    if (kind := connector(scheme)) is None:
        if scheme in ("http", "https"):
            raise UsageError(
                f"{address}: is no place of records: pipe them in, curl -s URL | "
                "streamproc, or a stage that calls it for each record: -e NAME=URL"
            )
        known = schemes()
        raise UsageError(
            f"{address}: nothing is known of {scheme}://{nearest(scheme, known)} (known: "
            f"{', '.join(known)}; a plugin brings others)"
        )
    return kind


def recipe_of(kind: type[Connector], *, is_source: bool) -> type[EndRecipe] | None:
    """What can be read from, or written to."""
    return kind.source if is_source else kind.sink


def of_other_side(*, is_source: bool) -> str:
    """What can be done with a connector that has no such recipe."""
    return "written to, not read from" if is_source else "read from, not written to"


def hide_secrets(arguments: list[str]) -> None:
    """From now on messages are without the secrets in addresses among `arguments`."""
    for argument in arguments:
        for scheme in SCHEMES:
            _, is_there, rest = argument.partition(f"{scheme}://")
            if is_there and (kind := connector(scheme)):
                _hide(kind, rest)


def _hide(kind: type[Connector], address: str) -> None:
    from urllib.parse import parse_qsl  # with what it imports a twentieth of a start

    for name, value in parse_qsl(address.partition("?")[2]):
        if kind.is_secret(name):
            hide(value)


def _plain(recipe: type[EndRecipe], address: str) -> Table:
    """The values have the types of the keys; one that has not stays text, which is told later.

    So are limits, which hints do not have here. Raises `UsageError` for a key that is there twice.
    """
    from urllib.parse import parse_qsl, unquote

    rest, _, query = address.partition("://")[2].partition("?")
    table: Table = {} if recipe.shorthand is None or not rest else {recipe.shorthand: unquote(rest)}
    hints = get_type_hints(recipe)
    for key, text in parse_qsl(query, keep_blank_values=True):
        if key in table:
            raise UsageError(f"{address}: {key} is there twice: leave one out")
        try:
            value = msgspec.convert(text, hints.get(key, str), strict=False, dec_hook=decode_hook)
        except msgspec.ValidationError:
            value = text
        table[key] = value
    return table
