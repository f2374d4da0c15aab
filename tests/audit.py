"""Known weaknesses of the packages in a lock file; part of `make check`.

Where no service of advisories answers, nothing is known, and one line says so.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

_PATIENCE_S = 60


def report_of(lock: str) -> dict[str, Any] | None:
    """What pip-audit says, None if it cannot ask anybody."""
    command = [
        sys.executable, "-m", "pip_audit", "--requirement", lock, "--require-hashes",
        "--disable-pip", "--progress-spinner", "off", "--format", "json", "--timeout", "5",
    ]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=_PATIENCE_S)
        report: dict[str, Any] = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError):
        return None
    return report


def main(lock: str) -> int:
    """Print each weakness, or that there is none; returns the exit code."""
    report = report_of(lock)
    if report is None:
        print(f"{lock}: not audited, no service of advisories can be reached")
        return 0
    found = [(each, weak) for each in report["dependencies"] for weak in each.get("vulns", ())]
    for each, weak in found:
        fixed = ", ".join(weak["fix_versions"]) or "no version yet"
        print(f"{lock}: {each['name']} {each['version']}: {weak['id']}, fixed in {fixed}")
    if not found:
        print(f"{lock}: no known weakness in {len(report['dependencies'])} packages")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
