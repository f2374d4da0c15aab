"""The pictures in docs/guide/watching.md: a run over the demo server, and its report."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "docs" / "guide"
SIZE = {"width": 880, "height": 840}
RUN_S = 40
PER_SECOND = 120
PIPELINE = """
report = "run.html"
on_error = "dead-letter"
dead_letter = "dead.jsonl"

[[stage]]
name = "company"
http = { url = "URL/slow/v1/companies/{domain}" }
cache = "1h"

[[stage]]
name = "contact"
http = { url = "URL/flaky/v1/people/{email}" }
rate = "RATE/s"

[[stage]]
name = "score"
python = "scoring.py:score"
"""
SCORING = """
def score(record):
    if record["employees"] < 10:
        raise ValueError("a company of so few people has no score")
    return {"score": min(99, record["employees"] // 100)}
"""


def leads(count: int) -> str:
    chance = random.Random(7)
    names = ("ada", "grace", "alan", "edsger", "barbara", "donald", "radia", "ken")
    lines = []
    for n in range(count):
        domain = f"company-{chance.randrange(900)}.com"
        lead = {"id": n, "email": f"{chance.choice(names)}@{domain}", "domain": domain}
        lines.append(json.dumps(lead | {"employees": int(chance.paretovariate(0.5)) + 8}))
    return "\n".join(lines) + "\n"


def take(folder: Path, url: str, page: Page) -> None:
    (folder / "leads.toml").write_text(
        PIPELINE.replace("URL", url).replace("RATE", str(PER_SECOND))
    )
    (folder / "scoring.py").write_text(SCORING)
    (folder / "leads.jsonl").write_text(leads(PER_SECOND * RUN_S))
    command = [sys.executable, "-m", "streamproc", "-c", "leads.toml", "leads.jsonl"]
    options: dict[str, Any] = {"cwd": folder, "env": os.environ | {"PYTHONPATH": str(ROOT)}}
    with (
        (folder / "out.jsonl").open("wb") as out,
        subprocess.Popen(
            [*command, "--monitor", "127.0.0.1:0"], stdout=out, stderr=subprocess.PIPE, text=True,
            **options,
        ) as run,
    ):  # fmt: skip
        assert run.stderr is not None
        found = re.search(r"http://\S+", run.stderr.readline())
        assert found is not None
        page.goto(found[0])
        page.wait_for_timeout(RUN_S * 600)
        page.screenshot(path=PICTURES / "page.png")
        run.stderr.read()
    page.goto((folder / "run.html").as_uri())
    page.screenshot(path=PICTURES / "report.png")


def main() -> None:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    server = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.demo_server", "--port", "0"],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert server.stdout is not None
    url = server.stdout.readline().split()[3].rstrip(",")
    try:
        with TemporaryDirectory() as folder, sync_playwright() as playwright:
            arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
            browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
            take(Path(folder), url, browser.new_page(viewport=SIZE))  # type: ignore[arg-type]
            browser.close()
    finally:
        server.kill()
        server.wait()


if __name__ == "__main__":
    main()
