"""Raw loop: `orjson.loads` of each line, the line written as it came."""

import os

import orjson

CHUNK = 256 * 1024

loads = orjson.loads
rest = b""
while chunk := os.read(0, CHUNK):
    lines = (rest + chunk).split(b"\n")
    rest = lines.pop()
    for line in lines:
        loads(line)
    lines.append(b"")
    out = memoryview(b"\n".join(lines))
    while out:
        out = out[os.write(1, out) :]
