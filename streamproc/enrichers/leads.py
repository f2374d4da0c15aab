"""The stage `leads`: what a lead's contact fields say, offline.

A wrong value is a fact, not a failure: `"valid": false` with the reason. Libraries:
phonenumbers (Google's libphonenumber), email-validator (RFC 5321, 5322, without DNS),
tldextract (the Public Suffix List that it bundles), probablepeople and usaddress
(parsers that say so when they do not know), pycountry (ISO 3166).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal, Self

from streamproc.enrichers import lead_fields, lead_hosts, lead_names
from streamproc.enrichers.lead_fields import Found
from streamproc.enrichers.lead_phones import Facts, library, phone
from streamproc.entering import Entered
from streamproc.types import Record

# Characters; parsers take time with more, and no real value has as many.
_LONGEST_EMAIL = 320  # 64 of the local part and 255 of a domain, with the @
# one that is nothing but itself: in lower case, because a few names such as Postmaster are folded
_PLAIN_LOCAL = re.compile(r"[a-z0-9_+-]{1,32}(?:\.[a-z0-9_+-]{1,32})?")
_SHORT_EMAIL = 64
_LONGEST_WEBSITE = 2048
# no port, user or address in brackets: what urlsplit finds in it is just the host
_PLAIN_SITE = re.compile(r"(?:https?://)?([A-Za-z0-9.-]{1,100})(?:[/?#]\S*)?")
_LONGEST_NAME = 250
_LONGEST_ADDRESS = 500
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_LONGEST_COUNTRY = 100
# what people write and ISO 3166 does not: UK it keeps for GB
_USUAL_NAMES = {
    "america": "US", "u.s.": "US", "u.s.a.": "US", "the united states": "US",
    "uk": "GB", "u.k.": "GB", "great britain": "GB", "britain": "GB", "the united kingdom": "GB",
    "england": "GB", "scotland": "GB", "wales": "GB", "northern ireland": "GB",
    "republic of ireland": "IE", "holland": "NL", "the netherlands": "NL", "deutschland": "DE",
    "turkey": "TR", "russia": "RU", "korea": "KR", "uae": "AE", "brunei": "BN", "burma": "MM",
    "ivory coast": "CI", "cape verde": "CV", "swaziland": "SZ", "macedonia": "MK", "macau": "MO",
    "palestine": "PS", "vatican": "VA", "east timor": "TL", "micronesia": "FM",
}  # fmt: skip
_TWO_LETTERS = re.compile("[A-Z]{2}")


class LeadsEnricher(Entered):
    """Facts about email, phone, website, name and address of a record.

    `country` (ISO 3166 alpha-2) is assumed for national phone numbers and for one-line
    addresses when the record names none.
    """

    mode: Literal["inline"] = "inline"
    replaces = False
    gather = None

    def __init__(self, country: str = "US") -> None:
        self._country = country

    async def __aenter__(self) -> Self:
        _prepare()
        return self

    def call(self, record: Record) -> Facts | None:
        """The facts, None if the record has none of the fields."""
        found = lead_fields.find(record)
        address = _address(found, self._country)
        country = address.get("country") if address else None
        region = country if isinstance(country, str) and len(country) == 2 else self._country
        facts: Facts = {}
        if found.email is not None:
            facts["email"] = email(found.email)
        if found.phone is not None:
            facts["phone"] = phone(found.phone, region)
        if found.website is not None:
            facts["website"] = website(found.website)
        if (person := _name(found)) is not None:
            facts["name"] = person
        if address:
            facts["address"] = address
        return facts or None


def _prepare() -> None:
    """Import what the first record would have to wait for."""
    import email_validator  # noqa: F401

    library()
    lead_names.prepare()
    lead_hosts.prepare()


def email(value: object) -> Facts:
    """`{"value", "domain", "valid"}`, and `reason` if not valid. No DNS."""
    from email_validator import EmailNotValidError, validate_email

    if not isinstance(value, str):
        return {"value": value, "domain": None, "valid": False, "reason": "not a string"}
    if len(value) > _LONGEST_EMAIL:
        reason = _too_long(value, _LONGEST_EMAIL)
        return {"value": value, "domain": None, "valid": False, "reason": reason}
    text = value.strip()
    local, _, host = text.partition("@")
    if len(text) <= _SHORT_EMAIL and _PLAIN_LOCAL.fullmatch(local) and (known := _domain(host)):
        return {"value": f"{local}@{known}", "domain": known, "valid": True}
    try:
        checked = validate_email(text, check_deliverability=False)
    except EmailNotValidError as error:
        domain = value.rpartition("@")[2].strip().lower() if "@" in value else None
        return {"value": value, "domain": domain or None, "valid": False, "reason": str(error)}
    return {"value": checked.normalized, "domain": checked.domain, "valid": True}


@lru_cache(maxsize=4096)  # of at most 64 characters
def _domain(host: str) -> str | None:
    """An address's domain as it is normalised, None if that is not all there is to say of it."""
    from email_validator import EmailNotValidError, validate_email

    try:
        return validate_email(f"a@{host}", check_deliverability=False).domain
    except EmailNotValidError:
        return None


def _too_long(value: str, most: int) -> str:
    return f"{len(value):,} characters, more than {most:,}"


def website(value: object) -> Facts:
    """`{"domain", "valid"}`, and `reason` if not valid. `domain` is the registrable one."""
    from urllib.parse import urlsplit

    if not isinstance(value, str):
        return {"domain": None, "valid": False, "reason": "not a string"}
    if len(value) > _LONGEST_WEBSITE:
        return {"domain": None, "valid": False, "reason": _too_long(value, _LONGEST_WEBSITE)}
    text = value.strip()
    if plain := _PLAIN_SITE.fullmatch(text):
        return _site(plain[1].lower()).copy()
    try:
        parts = urlsplit(text if "://" in text else f"//{text}", "http")
        host = parts.hostname
    except ValueError as error:
        return {"domain": None, "valid": False, "reason": str(error)}
    if parts.scheme not in ("http", "https"):
        return {"domain": None, "valid": False, "reason": f"{parts.scheme} is no web address"}
    if not host or any(c.isspace() for c in text):
        return {"domain": None, "valid": False, "reason": "no host name"}
    return _registrable(host)


@lru_cache(maxsize=4096)  # of at most 100 characters
def _site(host: str) -> Facts:
    return _registrable(host)


def _registrable(host: str) -> Facts:
    try:
        return {"domain": lead_hosts.registrable(host), "valid": True}
    except ValueError as error:
        return {"domain": None, "valid": False, "reason": str(error)}


def _name(found: Found) -> Facts | None:
    if found.first is not None and found.last is not None:
        return {
            "full": found.name or f"{found.first} {found.last}",
            "first": found.first,
            "last": found.last,
        }
    full = found.name or found.first or found.last
    return None if full is None else name(full)


def name(full: str) -> Facts:
    """`{"full"}`, and `first` and `last` where it is a person's name and these are clear."""
    facts: Facts = {"full": full}
    if len(full) > _LONGEST_NAME:
        return facts
    if len(full.split()) > 1:  # one word may be either
        parts = lead_names.person(full)
        for key, label in (("first", "GivenName"), ("last", "Surname")):
            if label in parts:
                facts[key] = parts[label].strip(" ,")
    return facts


def _address(found: Found, assumed_country: str) -> Facts:
    facts = dict(found.address)
    if "country" in facts:
        facts["country"] = _country(facts["country"])
    if found.address_line is not None and facts.get("country", assumed_country) == "US":
        facts = us_address(found.address_line) | facts
    order = ("street", "city", "region", "postal_code", "country")
    return {key: facts[key] for key in order if key in facts}


def us_address(line: str) -> Facts:
    """The parts of a one-line US address; empty if they are ambiguous."""
    import usaddress

    if len(line) > _LONGEST_ADDRESS or _LONE_SURROGATE.search(line):  # no text for the tagger
        return {}
    try:
        parts, kind = usaddress.tag(line)
    except usaddress.RepeatedLabelError:
        return {}
    if kind == "Ambiguous":
        return {}
    places = {"PlaceName": "city", "StateName": "region", "ZipCode": "postal_code"}
    facts = {key: parts[label] for label, key in places.items() if label in parts}
    others = {"CountryName", "Recipient", "NotAddress", *places}
    street = " ".join(text for label, text in parts.items() if label not in others)
    return ({"street": street} if street else {}) | facts


def _country(text: str) -> str:
    return country_code(text) if len(text) <= _LONGEST_COUNTRY else text.strip()


@lru_cache(maxsize=1024)
def country_code(text: str) -> str:
    """ISO 3166 alpha-2 of a country's name or code; what is unknown stays as it is."""
    if code := _USUAL_NAMES.get(text.strip().lower()):
        return code
    if _TWO_LETTERS.fullmatch(text):  # a code, or unknown
        return text
    import pycountry

    try:
        return str(pycountry.countries.lookup(text.strip()).alpha_2)
    except LookupError:
        return text.strip()
