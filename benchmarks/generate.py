"""Lead records that look like real ones and reach nobody, the same for the same seed.

Only reserved domains (example.com, .org, .net) and fictional numbers (555-01xx). Written as
compact JSON, so that `loads` and `dumps` give the same bytes back and the outputs of a raw
loop and of streamproc can be compared byte by byte.
"""

# ruff: noqa: SIM905 - sixty quoted names in a list are harder to read

from __future__ import annotations

import os
import random
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

DATA = Path(__file__).parent / "data"
SEED = 20240
FORMAT = 1  # part of the file name: a change of the generator must not find old files

FIRST = (
    "Ada Grace Alan Barbara Edsger Margaret Dennis Frances Donald Radia Ken Katherine Tim Anita "
    "Linus Mary James Patricia Robert Jennifer Michael Linda William Elizabeth David Susan "
    "Richard Jessica Joseph Sarah Thomas Karen Charles Lisa Daniel Nancy Matthew Sandra "
    "Anthony Ashley Mark Emily Paul Donna Steven Michelle Andrew Carol Joshua Amanda Kevin "
    "Deborah Brian Stephanie Ryan José Zoë François Søren Renée Jürgen"
).split()
LAST = (
    "Smith Johnson Williams Brown Jones Garcia Miller Davis Rodriguez Martinez Hernandez Lopez "
    "Gonzalez Wilson Anderson Thomas Taylor Moore Jackson Martin Lee Perez Thompson White "
    "Harris Sanchez Clark Ramirez Lewis Robinson Walker Young Allen King Wright Scott Torres "
    "Nguyen Hill Flores Green Adams Nelson Baker Hall Rivera Campbell Mitchell Carter Roberts "
    "Gomez Phillips Evans Turner Diaz Parker Cruz Edwards Collins Reyes O'Brien Müller Peña"
).split()
BUSINESS = ("Blue Harbor", "North Ridge", "Silver Oak", "Summit", "Red Maple", "Lakeside")
TRADE = ("Plumbing LLC", "Dental Group", "Roofing Inc.", "Logistics Corp.", "Law Offices")
STREET = (
    "Main Oak Maple Cedar Elm Washington Lake Hill Walnut Spring Ridge Church Willow Sunset "
    "Jackson Lincoln Franklin Highland Jefferson Madison"
).split()
KIND = ("St", "Ave", "Rd", "Blvd", "Dr", "Ln", "Ct", "Way", "Pl")
PLACES = (  # city, state, area code, start of the postal code
    ("New York", "NY", 212, "100"),
    ("Los Angeles", "CA", 213, "900"),
    ("Chicago", "IL", 312, "606"),
    ("Houston", "TX", 713, "770"),
    ("Phoenix", "AZ", 602, "850"),
    ("Philadelphia", "PA", 215, "191"),
    ("San Antonio", "TX", 210, "782"),
    ("San Diego", "CA", 619, "921"),
    ("Jacksonville", "FL", 904, "322"),
    ("Columbus", "OH", 614, "432"),
    ("Charlotte", "NC", 704, "282"),
    ("Indianapolis", "IN", 317, "462"),
    ("Seattle", "WA", 206, "981"),
    ("Denver", "CO", 303, "802"),
    ("Boston", "MA", 617, "021"),
    ("Nashville", "TN", 615, "372"),
    ("Detroit", "MI", 313, "482"),
    ("Portland", "OR", 503, "972"),
    ("Las Vegas", "NV", 702, "891"),
    ("Memphis", "TN", 901, "381"),
    ("Baltimore", "MD", 410, "212"),
    ("Milwaukee", "WI", 414, "532"),
    ("Albuquerque", "NM", 505, "871"),
    ("Kansas City", "MO", 816, "641"),
    ("Atlanta", "GA", 404, "303"),
    ("Omaha", "NE", 402, "681"),
    ("Minneapolis", "MN", 612, "554"),
    ("New Orleans", "LA", 504, "701"),
    ("Honolulu", "HI", 808, "968"),
    ("Anchorage", "AK", 907, "995"),
)
DOMAINS = ("example.com", "example.org", "example.net")
PHONES = ("({0}) 555-{1:04}", "{0}-555-{1:04}", "+1 {0} 555 {1:04}", "{0}.555.{1:04}")
SOURCES = ("webinar", "referral", "trade-show", "organic", "newsletter", "partner")


def leads(records: int, seed: int = SEED) -> Iterator[dict[str, Any]]:
    """Records of about 250 bytes. `email` and `address` are always there, others mostly."""
    dice = random.Random(seed)
    pick, chance = dice.choice, dice.random
    for number in range(1, records + 1):
        first, last, domain = pick(FIRST), pick(LAST), pick(DOMAINS)
        city, state, area, postal = pick(PLACES)
        mailbox = _ascii(f"{first}.{last}")
        business = chance() < 0.1
        lead: dict[str, Any] = {
            "id": number,
            "name": f"{pick(BUSINESS)} {pick(TRADE)}" if business else f"{first} {last}",
            # a few wrong ones: real lists have them, and they take another path
            "email": f"{mailbox}{number % 97}@{domain}" if chance() > 0.02 else f"{mailbox}@",
        }
        if chance() > 0.05:
            lead["phone"] = pick(PHONES).format(area, 100 + int(chance() * 100))
        if chance() > 0.15:
            lead["website"] = f"https://{_ascii(last)}.{domain}/{pick(SOURCES)}"
        lead["address"] = {
            "street": f"{int(chance() * 9899) + 100} {pick(STREET)} {pick(KIND)}",
            "city": city,
            "region": state,
            "postal_code": f"{postal}{int(chance() * 100):02}",
            "country": "US",
        }
        lead["score"] = int(chance() * 1000) / 10
        yield lead


def leads_file(records: int, seed: int = SEED) -> Path:
    """A file of that many leads, made if it is not there yet."""
    path = DATA / f"leads-{FORMAT}-{seed}-{records}.jsonl"
    if path.exists():
        return path
    DATA.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}")  # an interrupted run leaves no half file
    with unfinished.open("wb") as out:
        for lead in leads(records, seed):
            out.write(orjson.dumps(lead, option=orjson.OPT_APPEND_NEWLINE))
    unfinished.replace(path)
    return path


def _ascii(text: str) -> str:
    """As people write their name in an address: `josé o'brien` is `jose.obrien`."""
    plain = unicodedata.normalize("NFKD", text.lower()).encode("ascii", "ignore").decode()
    return plain.replace("'", "")
