"""Phone numbers, by libphonenumber: Google's metadata, in Python or (extra `fast`) compiled."""

from __future__ import annotations

import re
from functools import cache
from types import ModuleType

from streamproc.types import Foreign, JsonObject

Facts = JsonObject

_TOO_BIG = 10**30  # no phone number, and str() refuses integers of over 4300 digits
LONGEST = 250  # characters, as libphonenumber
# as people in North America write one; in Python to parse it takes half of the time
_PLAIN_US = re.compile(
    r"(?:\+?1[ .-]?)?(?:\(([2-9]\d\d)\) ?|([2-9]\d\d)[ .-]?)(\d{3})[ .-]?(\d{4})", re.ASCII
)

_ITS_NUMBER = re.compile(r"^\(\d\) ")  # that of the error, which says nothing to people


@cache
def library() -> ModuleType:
    """The compiled one, where it is installed; it has the same functions and answers."""
    try:
        import rphonenumbers as found
    except ImportError:
        import phonenumbers as found
    compatible: ModuleType = found
    return compatible


def is_region(country: str) -> bool:
    """Whether phone numbers of `country` (ISO 3166 alpha-2) are known."""
    return bool(library().country_code_for_region(country))


def phone(value: object, country: str) -> Facts:
    """`{"e164", "country", "type", "valid"}`, and `reason` if not valid."""
    if isinstance(value, int) and abs(value) >= _TOO_BIG:
        return _no_phone("too long")
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else None
    if text is None:
        return _no_phone("not a string")
    if len(text) > LONGEST:
        return _no_phone(f"{len(text):,} characters, more than {LONGEST:,}")
    pn = library()
    try:
        number = _parse(pn, text, country)
    except pn.NumberParseException as error:
        return _no_phone(_ITS_NUMBER.sub("", str(error)))
    except UnicodeEncodeError:  # the compiled one takes text only
        return _no_phone("a lone surrogate")
    kind = pn.number_type(number)
    if kind == pn.PhoneNumberType.UNKNOWN:  # just then it is not valid
        return _no_phone(_why_invalid(pn, number))
    return {
        "e164": pn.format_number(number, pn.PhoneNumberFormat.E164),
        "country": pn.region_code_for_number(number),
        "type": pn.PhoneNumberType.to_string(kind).lower(),
        "valid": True,
    }


def _parse(pn: ModuleType, text: str, country: str) -> Foreign:
    if country == "US" and (plain := _PLAIN_US.fullmatch(text)):
        national = int("".join(filter(None, plain.groups())))
        return pn.PhoneNumber(country_code=1, national_number=national)
    return pn.parse(text, country)


def _no_phone(reason: str) -> Facts:
    return {"e164": None, "country": None, "type": None, "valid": False, "reason": reason}


def _why_invalid(pn: ModuleType, number: Foreign) -> str:
    possible = pn.is_possible_number_with_reason(number)
    if possible == pn.ValidationResult.IS_POSSIBLE:
        region = pn.region_code_for_country_code(number.country_code)
        return f"no number of {region} looks like this"
    return str(pn.ValidationResult.to_string(possible)).lower().replace("_", " ")
