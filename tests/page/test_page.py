"""The page of the monitor, in a real Chromium, of real runs."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from monitored import Asked

IMAGE = "<img src=x onerror=\"document.title='run by a record'\">"
TOKEN = "a-token-of-16-or-more"
MONITOR = ("--monitor", "127.0.0.1:0")


def visit(seen: Any, process: Any) -> str:
    """Open the page of `process`; returns its address."""
    ask = Asked(process)
    address = f"http://{ask.host}:{ask.port}/"
    seen.page.goto(address)
    return address


def feed(process: Any, records: Iterable[Any]) -> threading.Thread:
    """Write them in a thread, as far as they are read."""

    def write() -> None:
        try:
            process.stdin.write(b"".join(json.dumps(each).encode() + b"\n" for each in records))
        except (BrokenPipeError, ValueError):
            return

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    return thread


def axe_finds_nothing(page: Any) -> None:
    """By day and by night."""
    import axe_playwright_python

    page.evaluate((Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text())
    for colours in ("light", "dark"):
        page.emulate_media(color_scheme=colours)
        found = page.evaluate("axe.run()")
        assert [(each["id"], each["nodes"][0]["html"]) for each in found["violations"]] == []


def test_it_follows_a_run(start: Any, stages: None, seen: Any) -> None:
    """Figures change while it is open; the end is told; nothing is asked of anybody else."""
    process = start("-e", "failing=paged.py:failing", *MONITOR)
    address = visit(seen, process)
    seen.says("#state", "running")
    process.stdin.write(b'{"name": 1}\n')
    seen.says("#pipeline li:last-child", "1 done")
    process.stdin.write(b'{"name": 2}\n' * 41)
    seen.says("#pipeline li:last-child", "42 done")
    seen.says("#stages", "42 exception")
    process.stdin.close()
    process.stdout.read()
    seen.says("#state", "ended")
    assert seen.page.locator("#throughput path").count() > 0
    assert process.wait() == 3
    assert seen.complaints == []
    assert {url.removeprefix(address) for url in seen.asked} == {"", "events"}


def test_records_are_text(start: Any, stages: None, seen: Any) -> None:
    """Whatever a record says, and an error about it: it makes no element and runs nothing."""
    process = start("-e", "failing=paged.py:failing", *MONITOR)
    visit(seen, process)
    process.stdin.write(json.dumps({"name": IMAGE}).encode() + b"\n")
    seen.says("#failures td:nth-of-type(3)", f"no use for {IMAGE}")
    seen.says("#failures code", "<img src=x onerror=")
    assert seen.page.locator("img").count() == 0
    assert "run by" not in seen.page.title()
    assert seen.complaints == []


@pytest.mark.parametrize(
    ("arguments", "records", "part", "says"),
    [
        (("-e", "slow=paged.py:slow", "-j", "2"), 2000, "slow", "this stage holds the run back"),
        (("-e", "fast=paged.py:fast", "--set", "fast.rate=5/s"), 2000, "fast", "rate limit"),
        (("-e", "plain=paged.py:plain"), 20_000, "output", "reader is slow"),
    ],
)
def test_what_holds_the_run_back(
    start: Any, stages: None, seen: Any,
    arguments: tuple[str, ...], records: int, part: str, says: str,
) -> None:  # fmt: skip
    """A service that is slow, a limit, a reader that does not read (as here)."""
    process = start("-e", "first=paged.py:plain", *arguments, *MONITOR)
    visit(seen, process)
    feed(process, [{"n": n, "text": "x" * 500} for n in range(records)])
    seen.says("#pipeline .narrowest strong", part)
    seen.says("#narrowest", says)


def test_each_worker(start: Any, seen: Any) -> None:
    """What it does, by its number; without workers nobody reads of them."""
    alone, process = (start("-e", "none", *more, *MONITOR) for more in ((), ("-w", "2")))
    visit(seen, alone)
    seen.says("#state", "running")
    assert seen.page.get_by_role("heading", name="Workers").count() == 0
    visit(seen, process)
    process.stdin.write(b'{"n": 1}\n' * 1000)
    seen.says("#pipeline li:last-child", "1,000 done")
    rows = seen.page.get_by_role("group", name="Workers").locator("tbody tr")
    rows.nth(1).wait_for()
    assert [row.split()[0] for row in rows.all_inner_texts()] == ["0", "1"]
    assert seen.complaints == []


def test_a_target_that_is_away(start: Any, seen: Any) -> None:
    """Its circuit is open, and the page says since when."""
    process = start("-e", "company=http://127.0.0.1:1/{n}", *MONITOR)
    visit(seen, process)
    feed(process, [{"n": n} for n in range(200)])
    seen.says("#changes", re.compile(r"http://127\.0\.0\.1:1 \(company\): open"))
    seen.says("#targets", "circuit open")
    seen.says("#pipeline .narrowest", "company")


def test_it_asks_for_the_token(start: Any, seen: Any) -> None:
    """Until it has it, it shows nothing; then it remembers it for as long as it is open."""
    process = start("-e", "none", *MONITOR, "--monitor-token", TOKEN)
    visit(seen, process)
    seen.says("#state", "a token is wanted")
    for token, state in (("wrong", "that is not the token"), (TOKEN, "running")):
        seen.page.get_by_label("Token").fill(token)
        seen.page.get_by_role("button", name="Show the run").press("Enter")
        seen.says("#state", state)
    seen.page.reload()
    seen.says("#state", "running")
    assert TOKEN not in seen.page.content() + seen.page.url


def test_for_everybody(start: Any, stages: None, examined: Any) -> None:
    """It fits a telephone, keys are enough, and axe finds nothing."""
    process = start("-e", "failing=paged.py:failing", *MONITOR)
    visit(examined, process)
    process.stdin.write(json.dumps({"name": IMAGE}).encode() + b"\n")
    examined.says("#failures td:nth-of-type(3)", "no use for")
    page = examined.page
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    button = page.locator("#span")
    page.keyboard.press("Tab")
    assert button.evaluate("each => each === document.activeElement")
    page.keyboard.press("Enter")
    assert button.get_attribute("aria-pressed") == "true"
    axe_finds_nothing(page)


def test_the_report(run: Any, folder: Path, stages: None, seen: Any) -> None:
    """It opens from the disk, asks for nothing, and says of records what they say, as text."""
    stages_of = ("-e", "slow=paged.py:slow", "-e", "failing=paged.py:failing")
    done = run(*stages_of, "--report", "run.html", stdin=json.dumps({"name": IMAGE}).encode())
    assert done.returncode == 3
    address = (folder / "run.html").as_uri()
    seen.page.goto(address)
    seen.says("#state", "exit code 3")
    seen.says("#account", "1")
    seen.says("#groups", f"no use for {IMAGE}")
    seen.says("#changes", "run started, pipeline slow, failing")
    seen.says("#slowest", "only stages with policies")
    seen.says("#file", 'python = "paged.py:slow"')
    assert seen.page.locator("#histograms rect").count() == 1
    assert seen.page.locator("#throughput path").count() > 0
    assert seen.page.locator("img").count() == 0
    assert (seen.complaints, seen.asked) == ([], [address])


def test_the_report_for_everybody(run: Any, folder: Path, stages: None, examined: Any) -> None:
    """As the page."""
    given = b"".join(b'{"name": %d}\n' % n for n in range(30))
    run(
        "-e",
        "slow=paged.py:slow",
        "-e",
        "failing=paged.py:failing",
        "--report",
        "run.html",
        stdin=given,
    )
    examined.page.goto((folder / "run.html").as_uri())
    examined.says("#failures", "no use for")
    assert examined.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    axe_finds_nothing(examined.page)
