"""Raw loop: `loads`, assign a field, `dumps` of the whole."""

import os

import orjson

CHUNK = 256 * 1024

loads, dumps = orjson.loads, orjson.dumps
rest = b""
while chunk := os.read(0, CHUNK):
    lines = (rest + chunk).split(b"\n")
    rest = lines.pop()
    done = []
    for line in lines:
        record = loads(line)
        record["has_phone"] = "phone" in record
        done.append(dumps(record))
    done.append(b"")
    out = memoryview(b"\n".join(done))
    while out:
        out = out[os.write(1, out) :]
