"""The stage `leads`: facts about contact fields, offline; a wrong value is a fact, too."""

import asyncio
import json
import subprocess
import sys
from typing import Any

import pytest

from streamproc import Pipeline
from streamproc.enrichers.leads import LeadsEnricher
from streamproc.testing import MemorySink, MemorySource

EMAIL = {"value": "ada@example.com", "domain": "example.com", "valid": True}
PHONE = {"e164": "+12125550123", "country": "US", "type": "fixed_line_or_mobile", "valid": True}
BERLIN = {"e164": "+4930901820", "country": "DE", "type": "fixed_line", "valid": True}


def leads(record: dict[str, Any], country: str = "US") -> Any:
    return LeadsEnricher(country).call(record)


def through_a_pipeline(*lines: bytes) -> list[bytes]:
    async def main() -> list[bytes]:
        sink = MemorySink()
        summary = await Pipeline(["leads"]).run(MemorySource(lines), sink)
        assert summary.exit_code == 0
        return sink.lines

    return asyncio.run(main())


@pytest.mark.parametrize("key", ["email", "Email", "EMAIL", "email_address", "E-mail", "e mail",
                                 "emailAddress", "mail", "Email Address"])  # fmt: skip
def test_email_spellings(key: str) -> None:
    """An email is found under its usual names, however these are written."""
    assert leads({key: "ada@example.com"}) == {"email": EMAIL}


@pytest.mark.parametrize("key", ["phone", "phoneNumber", "Phone Number", "tel", "telephone",
                                 "mobile", "cell-phone", "CELL"])  # fmt: skip
def test_phone_spellings(key: str) -> None:
    """So is a phone number."""
    assert leads({key: "(212) 555-0123"}) == {"phone": PHONE}


@pytest.mark.parametrize("key", ["website", "url", "URL", "homepage", "webSite", "site", "domain"])
def test_website_spellings(key: str) -> None:
    """So is a website."""
    found = {"website": {"domain": "example.com", "valid": True}}
    assert leads({key: "https://www.example.com/about?x#y"}) == found


@pytest.mark.parametrize(
    "record",
    [
        {"name": "Ada Lovelace"}, {"full_name": "Ada Lovelace"}, {"contactName": "Ada Lovelace"},
        {"first_name": "Ada", "last_name": "Lovelace"}, {"givenName": "Ada", "surname": "Lovelace"},
        {"FirstName": " Ada ", "LastName": "Lovelace "},
    ],
)  # fmt: skip
def test_names(record: dict[str, Any]) -> None:
    """A person's name has first and last, whether it came in one field or in two."""
    found = {"full": "Ada Lovelace", "first": "Ada", "last": "Lovelace"}
    assert leads(record) == {"name": found}


@pytest.mark.parametrize("name", ["Acme Widgets Inc.", "Miller & Sons LLC", "Bank of America"])
def test_businesses_have_no_first_name(name: str) -> None:
    """A business's name is a full name and nothing else."""
    assert leads({"name": name}) == {"name": {"full": name}}


def test_one_word_may_be_either() -> None:
    """One word tells no first name from a last one, nor a person from a firm."""
    assert leads({"name": "Madonna"}) == {"name": {"full": "Madonna"}}


@pytest.mark.parametrize(
    "record",
    [
        {"address": {"street": "1 Main St", "city": "Boston", "state": "MA", "zip": "02139",
                     "country": "United States"}},
        {"location": {"Address1": "1 Main St", "town": "Boston", "province": "MA",
                      "postalCode": "02139", "countryCode": "us"}},
        {"street": "1 Main St", "city": "Boston", "region": "MA", "zip_code": "02139",
         "country": "USA"},
    ],
)  # fmt: skip
def test_addresses(record: dict[str, Any]) -> None:
    """The parts of an address, in a table or at the top; the country as its code."""
    assert leads(record) == {
        "address": {
            "street": "1 Main St", "city": "Boston", "region": "MA", "postal_code": "02139",
            "country": "US",
        }
    }  # fmt: skip


def test_one_line_addresses() -> None:
    """A one-line US address is taken apart; an ambiguous one gives nothing."""
    found = leads({"address": "77 Massachusetts Ave, Cambridge, MA 02139"})
    assert found == {
        "address": {
            "street": "77 Massachusetts Ave", "city": "Cambridge", "region": "MA",
            "postal_code": "02139",
        }
    }  # fmt: skip
    assert leads({"address": "???"}) is None
    assert leads({"address": "77 Massachusetts Ave, Cambridge"}, country="DE") is None


def test_nested_contact() -> None:
    """Fields of `contact` count; the record's own come first."""
    contact = {"email": "ada@example.com", "mobile": "(212) 555-0123", "name": "Ada Lovelace"}
    found = leads({"contact": contact})
    assert found.keys() == {"email", "phone", "name"}
    assert (found["email"], found["phone"]) == (EMAIL, PHONE)
    both = {"contact": {"email": "other@example.com"}, "mail": "ada@example.com"}
    assert leads(both) == {"email": EMAIL}
    assert leads({"email": "", "contact": {"email": "ada@example.com"}}) == {"email": EMAIL}
    assert leads({"contact": "ada@example.com"}) is None


@pytest.mark.parametrize(
    "record",
    [
        {"address": {"country": "Germany"}}, {"address": {"country": "DE"}},
        {"country": "DEU"}, {"location": {"country_code": "de"}}, {"contact": {"country": "DE"}},
    ],
)  # fmt: skip
def test_the_address_decides_where_a_phone_number_is_from(record: dict[str, Any]) -> None:
    """A national number is read as one of the address's country."""
    assert leads({"phone": "030 901820", **record})["phone"] == BERLIN


def test_the_assumed_country() -> None:
    """Without an address `country` decides; an international number decides itself."""
    assert leads({"phone": "030 901820"}, country="DE") == {"phone": BERLIN}
    assert leads({"phone": "030 901820"})["phone"]["valid"] is False
    assert leads({"phone": "+49 30 901820", "country": "US"})["phone"] == BERLIN
    assert leads({"phone": 2125550123}) == {"phone": PHONE}


@pytest.mark.parametrize(
    ("value", "domain"),
    [("ada@@example.com", "example.com"), ("ada", None), ("ada@localhost", "localhost"),
     ("@example.com", "example.com"), (5, None), (["ada@example.com"], None), (False, None)],
)  # fmt: skip
def test_invalid_emails_are_facts(value: Any, domain: str | None) -> None:
    """What is no email address is said, with the reason, and stays as it was."""
    found = leads({"email": value})["email"]
    assert found.pop("reason")
    assert found == {"value": value, "domain": domain, "valid": False}


@pytest.mark.parametrize(
    "value", ["555-01", "abc", "+999 1234567", "1" * 50, True, 1.5, ["x"], 10**40]
)
def test_invalid_phones_are_facts(value: Any) -> None:
    """What is no phone number is said, with the reason."""
    found = leads({"phone": value})["phone"]
    assert found.pop("reason")[0].isalnum()
    assert found == {"e164": None, "country": None, "type": None, "valid": False}


@pytest.mark.parametrize(
    "value",
    ["localhost", "ftp://example.com", "co.uk", "127.0.0.1", "http://[::1", "no.such-tld",
    "a b.com",
     "http://", 5, ["example.com"]],
)  # fmt: skip
def test_invalid_websites_are_facts(value: Any) -> None:
    """What is no website is said, with the reason."""
    found = leads({"website": value})["website"]
    assert found.pop("reason")
    assert found == {"domain": None, "valid": False}


@pytest.mark.parametrize("value", ["example.co.uk", "HTTP://Shop.Example.CO.UK:8080/"])
def test_the_domain_is_the_registrable_one(value: str) -> None:
    """`shop.example.co.uk` belongs to whoever owns `example.co.uk`."""
    assert leads({"website": value}) == {"website": {"domain": "example.co.uk", "valid": True}}


@pytest.mark.parametrize(
    "record",
    [
        {}, {"id": 1}, {"email": None, "phone": "", "name": " "}, {"address": {}}, {"address": [1]},
        {"contact": {}}, {"name": ["Ada"]}, {"emails": ["ada@example.com"]},
    ],
)  # fmt: skip
def test_nothing_found(record: dict[str, Any]) -> None:
    """A record with none of the fields gets nothing."""
    assert leads(record) is None


def test_numbers_of_any_length() -> None:
    """An integer that Python does not print is no phone number and no postal code."""
    found = leads({"phone": 10**5000, "zip": 10**5000, "name": -(10**5000)})
    assert found.keys() == {"phone"}
    assert (found["phone"]["valid"], found["phone"]["reason"]) == (False, "too long")


def test_an_unknown_country_stays_as_it_is() -> None:
    """What ISO 3166 does not know is not guessed at."""
    assert leads({"country": "Atlantis"}) == {"address": {"country": "Atlantis"}}


def test_the_record_is_not_changed() -> None:
    """Facts are added beside the fields, which stay as they came."""
    record = {"email": " Ada@Example.com ", "contact": {"tel": "1"}, "address": {"zip": 2139}}
    before = json.dumps(record)
    leads(record)
    assert json.dumps(record) == before


def test_in_a_pipeline() -> None:
    """Facts go under `enrichment`; a record with nothing to say about goes through untouched."""
    nothing = b'{ "id": 123456789012345678901234, "price": 19.90 }'
    lead = b'{"email" : "ada@example.com", "price": 1E5}'
    first, second = through_a_pipeline(nothing, lead)
    assert first == nothing
    assert second.startswith(lead[:-1] + b',"enrichment":{"email":{')
    assert json.loads(second)["enrichment"] == {"email": EMAIL}


def test_it_touches_no_network() -> None:
    """Not one socket is made, nor a name looked up, nor a file written."""
    program = """
import sys
def refuse(event, arguments):
    writes = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
    if event.startswith(("socket.", "urllib.", "http.")) or writes:
        raise RuntimeError((event, arguments))
sys.dont_write_bytecode = True
sys.addaudithook(refuse)
from streamproc.enrichers.leads import LeadsEnricher
record = {"email": "a@gmail.com", "phone": "2125550123", "url": "https://x.example.com",
          "name": "Ada Lovelace", "address": "1 Main St, Boston, MA 02139", "country": "US"}
print(sorted(LeadsEnricher().call(record)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.stdout == "['address', 'email', 'name', 'phone', 'website']\n"
