"""Company data that looks real, for trying HTTP stages: `make demo-server`.

The same domain always has the same answer; about one in ten is not known (404). On loopback only.

    GET  /v1/companies/{domain}           domain, name, industry, employees, country
    GET  /v1/people/{email}               email, name, title, company
    POST /v1/bulk                         a list of {"domain"}, answered in its order
    GET  /flaky/v1/companies/{domain}     one answer in five is a 500
    GET  /limited/v1/companies/{domain}   20 per second, above that 429 with Retry-After
    GET  /slow/v1/companies/{domain}      after 200 ms
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import threading
import time
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

HOST, PORT = "127.0.0.1", 8765
PER_SECOND = 20
FAILING = 0.2
SLOW_S = 0.2
MAX_BODY = 1 << 20
DOMAIN = re.compile(r"([a-z0-9-]+\.)+[a-z0-9-]+")
KNOWN = {"example.com", "example.org"}  # the sample leads have these: not left to chance
UNKNOWN = {"example.net"}

INDUSTRIES = ("software", "logistics", "retail", "health", "finance", "education", "energy")
COUNTRIES = ("US", "GB", "DE", "FR", "NL", "CA", "AU", "JP")
TITLES = ("Engineer", "Head of Sales", "Founder", "Buyer", "Office Manager", "Analyst")
FORMS = {"US": "Inc.", "GB": "Ltd", "DE": "GmbH", "FR": "SAS", "NL": "B.V.", "JP": "K.K."}


class Limit:
    """So many requests in each second of the clock; `take` is the wait when there are more."""

    def __init__(self, per_second: int) -> None:
        self.per_second = per_second
        self.lock = threading.Lock()
        self.second = self.taken = 0

    def take(self, now: float) -> float:
        with self.lock:
            if int(now) != self.second:
                self.second, self.taken = int(now), 0
            self.taken += 1
            return 0.0 if self.taken <= self.per_second else self.second + 1 - now


def company(domain: str) -> dict[str, Any] | None:
    """What there is to know about a domain; None if it is not known."""
    domain = domain.lower()
    digest = sha256(domain.encode()).digest()
    if (
        not DOMAIN.fullmatch(domain)
        or domain in UNKNOWN
        or (digest[0] < 26 and domain not in KNOWN)
    ):
        return None
    country = COUNTRIES[digest[1] % len(COUNTRIES)]
    name = domain.rsplit(".", 1)[0].replace("-", " ").replace(".", " ").title()
    return {
        "domain": domain,
        "name": f"{name} {FORMS.get(country, 'Corp.')}",
        "industry": INDUSTRIES[digest[2] % len(INDUSTRIES)],
        "employees": 10 + int.from_bytes(digest[3:5], "big") % 5000,
        "country": country,
    }


def person(email: str) -> dict[str, Any] | None:
    """Who has this address; None if it is none, or the domain is not known."""
    local, at, domain = email.partition("@")
    employer = company(domain) if local and at else None
    if employer is None:
        return None
    return {
        "email": email,
        "name": local.replace(".", " ").replace("_", " ").title(),
        "title": TITLES[sha256(email.lower().encode()).digest()[0] % len(TITLES)],
        "company": employer["name"],
    }


class Handler(BaseHTTPRequestHandler):
    """One connection; it stays open between requests."""

    protocol_version = "HTTP/1.1"
    server_version = "streamproc-demo"
    disable_nagle_algorithm = True
    limit = Limit(PER_SECOND)

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path.startswith("/flaky/") and random.random() < FAILING:
            self.answer(500, {"error": "try again"})
            return
        if path.startswith("/limited/") and (wait := self.limit.take(time.time())):
            self.answer(429, {"error": "slow down"}, {"Retry-After": "1", "X-Wait": f"{wait:.3f}"})
            return
        if path.startswith("/slow/"):
            time.sleep(SLOW_S)
        for prefix in ("/flaky", "/limited", "/slow"):
            path = path.removeprefix(prefix)
        kind, _, key = path.removeprefix("/v1/").partition("/")
        find = {"companies": company, "people": person}.get(kind)
        found = find(unquote(key)) if find and path.startswith("/v1/") else None
        if found is None:
            self.answer(404, {"error": "not found"})
        else:
            self.answer(200, found)

    def do_POST(self) -> None:
        said = self.headers.get("Content-Length") or ""
        length = int(said) if said.isdecimal() else MAX_BODY + 1
        if length > MAX_BODY or urlsplit(self.path).path != "/v1/bulk":
            self.close_connection = True  # the body is not read
            self.answer(413 if length > MAX_BODY else 404, {"error": "not here"})
            return
        try:
            found = [company(str(item["domain"])) for item in json.loads(self.rfile.read(length))]
        except (KeyError, TypeError, ValueError):
            self.answer(400, {"error": 'a list of {"domain"} is expected'})
        else:
            self.answer(200, found)

    def answer(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, text in (headers or {}).items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - as it is inherited
        """Quiet."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024


def main() -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.demo_server")
    parser.add_argument("--port", type=int, default=PORT, help="default: %(default)s; 0: any")
    try:
        server = Server((HOST, parser.parse_args().port), Handler)
    except OSError as problem:
        sys.exit(f"the port cannot be used: {problem}")
    print(f"company data on http://{HOST}:{server.server_port}, Ctrl-C ends it", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()


if __name__ == "__main__":
    main()
