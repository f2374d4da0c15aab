"""The stage `leads` against values that are none: nothing is parsed or kept that is too long."""

from typing import Any

import pytest

from streamproc.enrichers import lead_fields
from streamproc.enrichers.leads import LeadsEnricher


def facts(record: dict[str, Any]) -> dict[str, Any]:
    found = LeadsEnricher().call(record)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("field", "value", "most"),
    [("email", "a@", 320), ("phone", "1", 250), ("website", "a.", 2048)],
)
def test_longer_than_any_real_value(field: str, value: str, most: int) -> None:
    """It is invalid, and the reason says how long it is."""
    told = facts({field: value * 10_000})[field]
    assert told["valid"] is False
    assert told["reason"] == f"{len(value) * 10_000:,} characters, more than {most:,}"
    assert (told.get("domain"), told.get("e164")) == (None, None)


def test_the_longest_real_values() -> None:
    """As long as the standards allow."""
    email = "a" * 64 + "@" + ".".join(["b" * 60] * 3) + ".com"
    assert facts({"email": email})["email"]["valid"] is True
    host = "a" * 60 + ".example.com"
    website = f"https://{host}/" + "x" * (2048 - len(host) - 9)
    assert facts({"website": website})["website"] == {"domain": "example.com", "valid": True}


def test_long_names_and_addresses_are_not_taken_apart() -> None:
    """They stay what they are."""
    name = "John " * 1000 + "Smith"
    assert facts({"name": name}) == {"name": {"full": name}}
    assert LeadsEnricher().call({"address": "1 Main St " * 1000}) is None
    country = "x" * 1000
    assert facts({"country": country})["address"]["country"] == country


def test_keys_are_not_kept() -> None:
    """Caches of keys have a limit in bytes."""
    caches = (lead_fields._fold, lead_fields._of_alike)
    for each in caches:
        each.cache_clear()
    for n in range(300):
        lead_fields.find({"Phone Number" * 200 + str(n): 1})
    assert [each.cache_info().currsize for each in caches] == [0, 0]


@pytest.mark.parametrize("key", ["E-Mail", "emailAddress", " E.mail ", "EMAIL\u00a0ADDRESS"])
@pytest.mark.parametrize("more", [0, 1000])
def test_spellings_among_many(key: str, more: int) -> None:
    """A record with thousands of keys is read as one with few."""
    record = {f"k\0{n}" if n % 2 else f"k{n}": n for n in range(more)} | {key: "ann@example.com"}
    assert facts(record)["email"]["valid"] is True
    assert lead_fields.find(record).email == "ann@example.com"


def test_half_a_character_is_no_text() -> None:
    """JSON may hold a lone surrogate: its field says nothing, and the others are looked at."""
    record = {"phone": "+1 202 \ud800 555", "address": "a\ud800b", "email": "a@example.com"}
    told = facts(record)
    assert (told["phone"]["valid"], told["phone"]["e164"]) == (False, None)
    assert "address" not in told
    assert told["email"]["domain"] == "example.com"
