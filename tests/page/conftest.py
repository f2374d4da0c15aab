"""A real browser, with nothing in it but one page."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import NO_BROWSER, PATIENCE_S

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
MISSING = [] if CHROMIUM else ["chromium"]
MISSING += [] if find_spec("playwright") else ["the packages in tests/page/requirements.lock"]
TELEPHONE = {"width": 360, "height": 700}
STAGES = """
def failing(record):
    raise ValueError(f"no use for {record['name']}")

async def slow(record):
    import asyncio
    await asyncio.sleep(0.3)
    return {"ok": True}

async def fast(record):
    return {"ok": True}

def plain(record):
    return {"ok": True}
"""


@pytest.hookimpl(tryfirst=True)  # before a fixture starts one
def pytest_runtest_setup(item: pytest.Item) -> None:
    if MISSING:
        pytest.skip(f"{NO_BROWSER}{' and '.join(MISSING)}")


@pytest.fixture(scope="module")  # no longer: no other loop runs in this thread beside it
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    # as root Chromium has no sandbox
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


class Seen:
    """A page, what it asked for, and what it complained of."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.asked: list[str] = []
        self.complaints: list[str] = []
        page.set_default_timeout(PATIENCE_S * 1000)
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def says(self, selector: str, text: Any) -> None:
        """Sooner or later."""
        from playwright.sync_api import expect

        expect(self.page.locator(selector)).to_contain_text(text, timeout=PATIENCE_S * 1000)


@pytest.fixture
def seen(chromium: Any) -> Iterator[Seen]:
    yield from _seen(chromium)


@pytest.fixture
def examined(chromium: Any) -> Iterator[Seen]:
    """On a telephone, by axe, which makes styles of its own."""
    yield from _seen(chromium, viewport=TELEPHONE, bypass_csp=True)


def _seen(chromium: Any, **options: Any) -> Iterator[Seen]:
    context = chromium.new_context(**options)
    yield Seen(context.new_page())
    context.close()


@pytest.fixture
def stages(folder: Path) -> None:
    (folder / "paged.py").write_text(STAGES)
