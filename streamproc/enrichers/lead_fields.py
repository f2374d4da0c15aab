"""Where leads keep their contact fields: the usual spellings, which one wins."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from msgspec import Struct, field

# The first one that has a value wins. A record's own fields come before those of `contact`.
EMAIL = ("email", "email_address", "e_mail", "mail")
PHONE = (
    "phone", "phone_number", "telephone", "tel", "mobile", "mobile_phone", "mobile_number",
    "cell", "cell_phone",
)  # fmt: skip
WEBSITE = ("website", "url", "homepage", "web", "web_site", "site", "domain")
NAME = ("name", "full_name", "fullname", "contact_name")
FIRST = ("first_name", "firstname", "given_name", "first")
LAST = ("last_name", "lastname", "surname", "family_name", "last")
ADDRESS = {
    "street": ("street", "street_address", "address1", "address_line1", "line1", "street1"),
    "city": ("city", "town", "locality"),
    "region": ("region", "state", "province"),
    "postal_code": ("postal_code", "zip", "zip_code", "zipcode", "postcode", "postalcode"),
    "country": ("country", "country_code", "country_name"),
}
_LONGEST_KEY = 100  # a longer one is none of these, and is not kept in the cache
_MANY = 64  # keys; to fold one takes longer than to decode it
_TOO_BIG = 10**30  # str() refuses integers of over 4300 digits
_ADDRESS_HOLDERS = ("address", "location", "full_address", "mailing_address")
_WORDS = {
    name.replace("_", "")
    for names in (EMAIL, PHONE, WEBSITE, NAME, FIRST, LAST, *ADDRESS.values(), _ADDRESS_HOLDERS)
    for name in names
} | {"contact"}
_BETWEEN_WORDS = dict.fromkeys([*map(ord, "_.-"), *(c for c in range(0x3001) if chr(c).isspace())])


class Found(Struct):
    """The values as they stand in the record; None where there is none."""

    email: Any = None
    phone: Any = None
    website: Any = None
    name: str | None = None
    first: str | None = None
    last: str | None = None
    address: dict[str, str] = field(default_factory=dict)
    address_line: str | None = None


def find(record: dict[str, Any]) -> Found:
    """The contact fields of `record`, whatever they are called."""
    folders = [_folded(record)]
    contact = folders[0].get("contact")
    if isinstance(contact, dict):
        folders.append(_folded(contact))
    found = Found(
        email=_first(folders, EMAIL),
        phone=_first(folders, PHONE),
        website=_first(folders, WEBSITE),
        name=_text(_first(folders, NAME)),
        first=_text(_first(folders, FIRST)),
        last=_text(_first(folders, LAST)),
    )
    holder = _first(folders, _ADDRESS_HOLDERS)
    if isinstance(holder, str):
        found.address_line = holder
    places = [_folded(holder)] if isinstance(holder, dict) else folders
    for key, spellings in ADDRESS.items():
        if (value := _text(_first(places, spellings))) is not None:
            found.address[key] = value
    return found


def _folded(record: dict[str, Any]) -> dict[str, Any]:
    """By folded names, without what is empty; of equal names the first wins."""
    names = record if len(record) <= _MANY else _candidates(record)
    out: dict[str, Any] = {}
    for key in names:
        value = record[key]
        if value is not None and value != "" and len(key) <= _LONGEST_KEY:
            out.setdefault(_fold(key), value)
    return out


def _candidates(record: dict[str, Any]) -> list[str]:
    """The keys that may be one of the names above: all are looked at at once."""
    words = "\0".join(record).translate(_BETWEEN_WORDS).lower().split("\0")
    if len(words) != len(record):  # there is one in a key
        words = [key.translate(_BETWEEN_WORDS).lower() for key in record]
    return [key for key, word in zip(record, words, strict=True) if word in _WORDS]


@lru_cache(maxsize=4096)  # of short keys
def _fold(key: str) -> str:
    """`Phone Number`, `phone-number` and `phoneNumber` are `phone_number`."""
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key.strip())
    return re.sub(r"[\s.-]+", "_", snake).lower()


def _first(folders: list[dict[str, Any]], spellings: tuple[str, ...]) -> Any:
    for folder in folders:
        for spelling in spellings:
            if spelling in folder:
                return folder[spelling]
    return None


def _text(value: Any) -> str | None:
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _TOO_BIG:
        value = str(value)
    return value.strip() or None if isinstance(value, str) else None
