"""What was measured, as text for people: results.md, and results.svg for docs/design/speed.md."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.cases import Bar, Results, Row, peer

LIBRARIES = (
    "streamproc",
    "msgspec",
    "orjson",
    "uvloop",
    "click",
    "phonenumbers",
    "email-validator",
)
PEERS = {"jq": "--version", "jaq": "--version", "gojq": "--version", "mlr": "--version"}
COLORS = {"streamproc": "#2f6f4f", "raw": "#9aa5b1", "peer": "#c98a3d"}


def markdown(results: Results, records: int, repeat: int) -> str:
    """The page: where, with what, the table of targets, and the raw figures."""
    missing = sorted(set(results.missing))
    lines = [
        "# Benchmarks",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {machine()}. {records:,} records of about 250 bytes "
        f"unless said otherwise; whole processes from outside, from a file, output to a pipe "
        f"that is read; in turns, warm-up first, median of {repeat} "
        f"(first line: {max(15, repeat)}, memory: {min(3, repeat)}).",
        "",
        f"Libraries: {libraries()}. Peers: {peers()}.",
    ]
    if missing:
        lines += ["", f"**Missing: {', '.join(missing)}** (not installed; `make peers`)."]
    lines += ["", "| what | against | ratio | target | reached |", "|---|---|---|---|---|"]
    lines += [_row(row) for row in results.rows]
    lines += [
        "",
        "Ratios are records per second of streamproc to those of the other, unless a unit says "
        "otherwise. `raw_*` and `user_asyncio` are scripts in `benchmarks/scripts/`; they and "
        "streamproc wrote the same bytes, and all wrote as many lines as they read. Peaks are the "
        "kernel's, which counts the measuring process before it becomes the measured one: about "
        f"{own_peak_mb():.0f} MB, below which nothing shows.",
        "",
        "## Raw figures",
        "",
        "| group | command | records | seconds (least - most) | records/s | CPU s | peak MB |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    lines += [_bar(bar) for bar in results.bars]
    return "\n".join(lines) + "\n"


def plot(results: Results, path: Path) -> None:
    """Records per second as bars. Raises ImportError without matplotlib."""
    # imported last: the peak of a measured process is never below that of its parent
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import patches
    from matplotlib import pyplot as plt

    # the same results make the same file, so that a diff shows a change of the figures
    mpl.rcParams["svg.hashsalt"] = "streamproc"
    bars = [bar for bar in results.bars if bar.group != "sleep100"]  # it waits on purpose
    if not bars:
        return
    names = [f"{bar.group}: {bar.name}" for bar in bars]
    rates = [bar.per_second for bar in bars]
    figure, axes = plt.subplots(figsize=(9, 0.6 + 0.34 * len(bars)), layout="constrained")
    drawn = axes.barh(names, rates, color=[COLORS[bar.kind] for bar in bars])
    axes.bar_label(drawn, [f"{rate:,.0f}" for rate in rates], padding=3, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(right=max(rates) * 1.12)  # room for the labels
    axes.set_xlabel(f"records per second ({machine()})")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.tick_params(axis="y", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    kinds = [kind for kind in COLORS if any(bar.kind == kind for bar in bars)]
    handles = [patches.Rectangle((0, 0), 1, 1, color=COLORS[kind]) for kind in kinds]
    axes.legend(handles, kinds, loc="lower right", fontsize=8, frameon=False)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def machine() -> str:
    """The class of the machine, nothing that identifies it."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} cores, Python {platform.python_version()}, {platform.system()}"


def own_peak_mb() -> float:
    """The floor of all measured peaks."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 if sys.platform == "linux" else 1024 * 1024)


def libraries() -> str:
    """The versions that matter for the figures."""
    found = []
    for name in LIBRARIES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} missing")
    return ", ".join(found)


def peers() -> str:
    """The versions of the peers, as they print them."""
    found = []
    for name, option in PEERS.items():
        where = peer(name)
        if where is None:
            found.append(f"{name} missing")
            continue
        said = subprocess.run([where, option], capture_output=True, text=True, check=False)
        words = said.stdout.strip().splitlines()[0] if said.stdout.strip() else name
        number = next((word for word in words.replace("-", " ").split() if word[0].isdigit()), "?")
        found.append(f"{name} {number}")
    return ", ".join(found)


def _row(row: Row) -> str:
    note = f" ({row.note})" if row.note else ""
    sign = "≤" if row.lower_is_better else "≥"
    target = "-" if row.target is None else f"{sign} {row.target:g}{row.unit}"
    measured = (
        ("missing" if row.note else "-")
        if row.measured is None
        else f"{row.measured:.2f}{row.unit}"
    )
    reached = {True: "yes", False: "**no**", None: "-"}[row.reached]
    return f"| {row.what} | {row.against} | {measured}{note} | {target} | {reached} |"


def _bar(bar: Bar) -> str:
    least, most = bar.samples.spread
    return (
        f"| {bar.group} | `{bar.name}` | {bar.records:,} "
        f"| {bar.samples.seconds:.3f} ({least:.3f} - {most:.3f}) | {bar.per_second:,.0f} "
        f"| {bar.samples.cpu:.3f} | {bar.samples.peak_mb:.1f} |"
    )
