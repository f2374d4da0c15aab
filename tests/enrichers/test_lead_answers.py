"""What `leads` remembers or takes a short way to is what the libraries say of each value alone."""

from __future__ import annotations

import itertools
import os
import random
import string
from typing import Any

import email_validator
import phonenumbers
import probablepeople
import pycountry
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import PhoneNumberFormat, PhoneNumberType
from probablepeople.gender import gender_names
from probablepeople.ratios import ratios

from streamproc.enrichers import lead_hosts, lead_name_model, lead_names, lead_phones, leads

NAMES = int(os.environ.get("STREAMPROC_NAMES", "1000"))
PHONES = int(os.environ.get("STREAMPROC_PHONES", "4000"))
WORDS = [
    "Inc.", "LLC", "& Sons,", "Bank", "of", "the", "Committee", "for", "to", "Elect", "and", "&",
    "aka", "dba", "c/o", ",", "Jr.", "III", "Dr.", "Mrs", "(Bob)", '"Bob"', "#12", "/", "@", "1st",
    "J.", "x", "Smith,", "O'Neil", "van", "der", "Local", "12", "é", "ßö", "李", "d'Or.", "-", "v",
]  # fmt: skip
KNOWN = [*list(gender_names)[:400], *list(ratios)[:400]]
# Numbering plans that Google changed between the releases that the two packages are of, by
# country code: Benin's numbers, for one, have ten digits instead of eight.
CHANGED = {45, 229, 263, 267, 290, 506, 592}


def names(dice: random.Random) -> str:
    def pick() -> str:
        return dice.choice(KNOWN).title()

    first, last = pick(), pick()
    usual = (f"{first} {last}", f"{last}, {first} J.", f"{first} and {pick()} {last}")
    many = dice.choice((5, 5, 5, 20))
    odd = " ".join(dice.choice(WORDS) if dice.random() < 0.6 else pick() for _ in range(many))
    return dice.choice((*usual, odd, odd[: dice.randrange(30)]))


def test_names() -> None:
    """As probablepeople alone, before and after words are remembered."""
    dice = random.Random(1)
    for _ in range(NAMES):
        full = names(dice)
        try:
            parts, kind = probablepeople.tag(full)
        except probablepeople.RepeatedLabelError:
            parts, kind = {}, "Person"
        assert lead_names.person(full) == (dict(parts) if kind == "Person" else {}), full


def cannot_write(tagger: Any) -> str:
    raise OSError(28, "No space left on device")


def cut_off(_: Any) -> str:
    return "  (0) just.letters --> Surname: 1.0\n  (0) hyphenated --> Giv"


@pytest.mark.parametrize(
    ("name", "value"), [("_CLEARLY", 1e9), ("_written", cannot_write), ("_written", cut_off)]
)
def test_names_that_the_model_is_asked_for(
    name: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same, where the weights do not tell clearly or cannot be had; usually they do."""
    full = "Ada Lovelace"
    usual = lead_names._Names()
    assert usual._model is not None
    assert usual._model.read(full.split()) == ["GivenName", "Surname"]
    monkeypatch.setattr(lead_name_model, name, value)
    unusual = lead_names._Names()
    assert unusual._model is None or unusual._model.read(full.split()) is None
    assert unusual.labels(full) == usual.labels(full)


def of_all_regions() -> list[Any]:
    """An example of each type of number of each region."""
    types = [getattr(PhoneNumberType, each) for each in vars(PhoneNumberType) if each.isupper()]
    regions = sorted(phonenumbers.SUPPORTED_REGIONS)
    found = [phonenumbers.example_number_for_type(r, t) for r in regions for t in types]
    codes = phonenumbers.COUNTRY_CODES_FOR_NON_GEO_REGIONS
    found += [phonenumbers.example_number_for_non_geo_entity(each) for each in codes]
    return [each for each in found if each is not None]


def phones(dice: random.Random, examples: list[Any]) -> tuple[str, str, int]:
    """A number that is nearly right, as somebody may write it, a country, and the number's own."""
    number = phonenumbers.PhoneNumber()
    number.merge_from(dice.choice(examples))
    digits = list(str(number.national_number))
    for _ in range(dice.choice((0, 1, 3))):
        digits[dice.randrange(len(digits))] = dice.choice("0123456789")
    number.national_number = int("".join(digits[: dice.choice((None, None, -1))]) or 0)
    kinds = ("E164", "NATIONAL", "INTERNATIONAL", "RFC3966")
    text = phonenumbers.format_number(number, getattr(PhoneNumberFormat, dice.choice(kinds)))
    region = phonenumbers.region_code_for_country_code(number.country_code)
    text += dice.choice(("", "", " ext 12", " abc", "#"))
    return text, dice.choice((region, region, "US")), number.country_code


def one_by_one(text: str, country: str) -> lead_phones.Facts:
    """What libphonenumber's own questions say, each asked."""
    try:
        number = phonenumbers.parse(text, country)
    except phonenumbers.NumberParseException:
        return {"valid": False}
    if not phonenumbers.is_valid_number(number):
        return {"valid": False}
    kind = phonenumbers.number_type(number)
    return {
        "e164": phonenumbers.format_number(number, PhoneNumberFormat.E164),
        "country": phonenumbers.region_code_for_number(number),
        "type": PhoneNumberType.to_string(kind).lower(),
        "valid": True,
    }


def test_phones(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same from libphonenumber in Python and compiled, where the plans are the same."""
    compiled = pytest.importorskip("rphonenumbers")
    dice, examples = random.Random(2), of_all_regions()
    for _ in range(PHONES):
        text, country, code = phones(dice, examples)
        monkeypatch.setattr(lead_phones, "library", lambda: phonenumbers)
        found = lead_phones.phone(text, country)
        expected = one_by_one(text, country)
        assert {key: found[key] for key in expected} == expected, text
        monkeypatch.setattr(lead_phones, "library", lambda: compiled)
        other = lead_phones.phone(text, country)  # for what is hardly a number, its reasons differ
        if other != found and (other["valid"] or found["valid"]):
            assert code in CHANGED, text


@pytest.mark.parametrize("library", ["phonenumbers", "rphonenumbers"])
def test_phones_as_in_north_america(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The short way to a number is what libphonenumber parses."""
    found = pytest.importorskip(library)
    monkeypatch.setattr(lead_phones, "library", lambda: found)
    dice, taken = random.Random(4), 0
    for _ in range(PHONES // 4):
        # from Puerto Rico and Jamaica, too; most are no numbers at all
        area = dice.choice(("212", "787", "876", "800", "555", "112", f"{dice.randrange(1000):03}"))
        start, a, b = map(dice.choice, (("", " ", "(", "-"), ("", ")", ") ", "-"), ("", ".", "  ")))
        last = dice.choice(("0123", f"{dice.randrange(10**4):04}", "012", "01234"))
        text = f"{dice.choice(('', '1', '+1', '+', '11'))}{start}{area}{a}{dice.randrange(1000):03}"
        text += f"{b}{last}{dice.choice(('', '', ' ', ' x1'))}"
        taken += lead_phones._PLAIN_US.fullmatch(text) is not None
        short = lead_phones.phone(text, "US")
        with monkeypatch.context() as patch:
            patch.setattr(lead_phones, "_PLAIN_US", leads.re.compile("(?!)"))
            assert lead_phones.phone(text, "US") == short, text
    assert taken > PHONES / 400


LOCAL = st.text("abzAZ09._+-'\" @é", min_size=1, max_size=8)
HOST = st.text("abzAZ09.-_:@[]é ", min_size=1, max_size=6).map(lambda s: s + ".com") | LOCAL


@given(LOCAL, HOST)
def test_emails(local: str, host: str) -> None:
    text = f"{local}@{host}"
    found = leads.email(text)
    try:
        checked = email_validator.validate_email(text.strip(), check_deliverability=False)
    except email_validator.EmailNotValidError as error:
        expected = {"valid": False, "reason": str(error)}
    else:
        expected = {"value": checked.normalized, "domain": checked.domain, "valid": True}
    assert {key: found[key] for key in expected} == expected


SITE = st.text("abAZ09.-/:?#@[] \té", max_size=10)


@given(st.sampled_from(["", "http://", "https://", "HTTP://", "ftp://", "//"]), SITE)
def test_websites(scheme: str, rest: str) -> None:
    """As by the way that takes every address apart."""
    short = leads.website(scheme + rest + ".co.uk/x")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leads, "_PLAIN_SITE", leads.re.compile("(?!)"))
        assert leads.website(scheme + rest + ".co.uk/x") == short


def test_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    """As tldextract says of them; what is asked of it, and what is looked up, is not told."""
    dice = random.Random(3)
    suffixes = sorted(lead_hosts._suffixes())
    ours = [each.replace("*", "a").lstrip("!") for each in suffixes]
    odd = ["-", "xn--p1ai", "1.2.3.4", "1.2.3", "..com", "localhost", "com.", "", "x.-", "a.1com"]
    hosts = [f"{below}{each}" for each in (*ours, *odd) for below in ("", "b.", "city.b.www.")]
    hosts += [".".join(dice.choices(ours, k=2)) for _ in range(1000)]
    assert len(suffixes) > 6000
    found = [leads._registrable(host) for host in hosts]
    monkeypatch.setattr(lead_hosts, "_suffixes", frozenset)
    assert found == [leads._registrable(host) for host in hosts]


def test_country_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    """As pycountry says of every two letters."""
    codes = ["".join(two) for two in itertools.product(string.ascii_uppercase, repeat=2)]
    codes.remove("UK")
    leads.country_code.cache_clear()
    found = [leads.country_code(code) for code in codes]
    leads.country_code.cache_clear()
    monkeypatch.setattr(leads, "_TWO_LETTERS", leads.re.compile("(?!)"))
    assert found == [leads.country_code(code) for code in codes] == codes


@pytest.mark.parametrize("said", ["UK", "uk ", "U.K.", "Great Britain", "United Kingdom", "GB"])
def test_britain_has_two_codes(said: str) -> None:
    """ISO 3166 keeps UK for it: a national number is read as one of there."""
    facts = leads.LeadsEnricher().call({"phone": "020 7946 0958", "country": said})
    assert facts is not None
    assert facts["phone"]["e164"] == "+442079460958"
    assert facts["address"] == {"country": "GB"}


@pytest.mark.parametrize(
    ("said", "number", "e164"),
    [
        ("Turkey", "0212 252 51 00", "+902122525100"),
        ("Russia", "8 495 606-36-02", "+74956063602"),
        ("ENGLAND", "020 7946 0958", "+442079460958"),
        ("The Netherlands", "020 573 2911", "+31205732911"),
    ],
)
def test_a_country_may_have_its_usual_name(said: str, number: str, e164: str) -> None:
    """It was unknown, and a number of there was read as one of the country that is assumed."""
    facts = leads.LeadsEnricher().call({"phone": number, "country": said})
    assert facts is not None
    assert facts["phone"]["e164"] == e164


def test_usual_names_have_codes_that_there_are() -> None:
    assert all(pycountry.countries.get(alpha_2=code) for code in leads._USUAL_NAMES.values())
