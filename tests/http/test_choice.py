"""Which client a stage gets, and what it costs to find out."""

from __future__ import annotations

import subprocess
import sys

import pytest

from streamproc.http.choice import open_client
from streamproc.http.contract import ClientOptions, Target

TARGET = Target("https", "api.example.com", 443)


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy", "REQUEST_METHOD"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [({}, "lean"), ({"HTTPS_PROXY": "http://p:1"}, "aiohttp"), ({"https_proxy": "p:1"}, "aiohttp"),
     ({"http_proxy": "http://p:1"}, "lean"), ({"no_proxy": "*"}, "lean"),
     ({"https_proxy": "p:1", "no_proxy": "api.example.com"}, "lean")],
)  # fmt: skip
def test_a_proxy_needs_aiohttp(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert f"client {expected}" in open_client("auto", ClientOptions(), TARGET)[1]


def test_records_that_name_the_target_may_need_any_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "client lean" in open_client("auto", ClientOptions(), None)[1]
    monkeypatch.setenv("http_proxy", "http://p:1")
    assert "client aiohttp" in open_client("auto", ClientOptions(), None)[1]


def test_the_lean_client_starts_with_few_imports() -> None:
    """What takes longer to import than the client itself is not needed for it."""
    program = """if True:
        import sys
        from streamproc.http.choice import open_client
        from streamproc.http.content import accepted_encodings
        from streamproc.http.contract import ClientOptions, Target
        open_client("auto", ClientOptions(), Target("https", "h", 443))
        accepted_encodings()
        print(*{"urllib.request", "importlib.metadata", "aiohttp", "idna"} & set(sys.modules))
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.split() == []
