"""Records as deep as they may be, through a function that may get them again."""

import subprocess
import sys
from pathlib import Path

DEEP = b'{"a":' * 500 + b"1" + b"}" * 500


def test_a_deep_record_reaches_a_function_with_retries(tmp_path: Path) -> None:
    """A copy for the next attempt is made of it, too."""
    (tmp_path / "deep.py").write_text("def f(record):\n    return {'x': 1}\n")
    command = [sys.executable, "-m", "streamproc", "-e", "deep.py:f", "--retries", "1"]
    done = subprocess.run(
        command, input=DEEP + b"\n", cwd=tmp_path, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, DEEP[:-1] + b',"x":1}\n')
