"""Raw loop: the library calls of the stage `leads`, on the fields where they are.

It may assume what the generator promises (an object in `address`, one spelling of each
field); streamproc has to look for the fields. The outputs are the same bytes.
"""

import os

import orjson

from streamproc.enrichers.leads import country_code, email, name, phone, website

CHUNK = 256 * 1024
KEYS = ("street", "city", "region", "postal_code")

loads, dumps = orjson.loads, orjson.dumps
rest = b""
while chunk := os.read(0, CHUNK):
    lines = (rest + chunk).split(b"\n")
    rest = lines.pop()
    done = []
    for line in lines:
        record = loads(line)
        address = record["address"]
        country = country_code(address["country"])
        facts = {"email": email(record["email"])}
        if "phone" in record:
            facts["phone"] = phone(record["phone"], country)
        if "website" in record:
            facts["website"] = website(record["website"])
        facts["name"] = name(record["name"])
        facts["address"] = {key: address[key] for key in KEYS} | {"country": country}
        record["enrichment"] = facts
        done.append(dumps(record))
    done.append(b"")
    out = memoryview(b"\n".join(done))
    while out:
        out = out[os.write(1, out) :]
