"""Where leads keep their contact fields: the usual spellings, which one wins."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from msgspec import Struct, field

from streamproc.types import JsonObject, Record

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
_FIELDS = {
    "email": EMAIL, "phone": PHONE, "website": WEBSITE, "name": NAME, "first": FIRST, "last": LAST,
    "contact": ("contact",), "address": _ADDRESS_HOLDERS, **ADDRESS,
}  # fmt: skip
_LONGEST_KEYS = 2048  # all of a record's; those of records alike are looked at once
_ALIKE = 256

Keys = dict[str, tuple[str, ...]]  # by field, where it may stand; the first one that has a value


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


def find(record: Record) -> Found:
    """The contact fields of `record`, whatever they are called."""
    values = _values(record)
    contact = values.get("contact")
    if isinstance(contact, dict):
        values = _values(contact) | values
    get = values.get
    found = Found(
        email=get("email"),
        phone=get("phone"),
        website=get("website"),
        name=_text(get("name")),
        first=_text(get("first")),
        last=_text(get("last")),
    )
    holder = get("address")
    if isinstance(holder, str):
        found.address_line = holder
    places = _values(holder) if isinstance(holder, dict) else values
    for key in ADDRESS:
        if (value := _text(places.get(key))) is not None:
            found.address[key] = value
    return found


def _values(record: Record) -> JsonObject:
    """Of the fields that have one."""
    values: dict[str, Any] = {}
    for name, keys in _keys(record).items():
        for key in keys:
            if (value := record[key]) is not None and value != "":
                values[name] = value
                break
    return values


def _keys(record: Record) -> Keys:
    if len(record) > _MANY:
        return _of_fields(_candidates(record))
    if sum(map(len, record)) > _LONGEST_KEYS:
        return _of_fields(record)
    return _of_alike(tuple(record))


@lru_cache(maxsize=_ALIKE)  # of at most 64 keys and 2048 characters
def _of_alike(keys: tuple[str, ...]) -> Keys:
    return _of_fields(keys)


def _of_fields(keys: Iterable[str]) -> Keys:
    """By folded names; of equal ones those that come first are first."""
    folded: dict[str, list[str]] = {}
    for key in keys:
        if len(key) <= _LONGEST_KEY:
            folded.setdefault(_fold(key), []).append(key)
    return {
        name: found
        for name, spellings in _FIELDS.items()
        if (found := tuple(key for each in spellings for key in folded.get(each, ())))
    }


def _candidates(record: Record) -> list[str]:
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


def _text(value: object) -> str | None:
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _TOO_BIG:
        return str(value)
    return None
