"""`streamproc schema`: the shape of the pipeline file, for editors."""

import json
import subprocess
import sys
from typing import Any

from streamproc.config.settings import Settings, StageSettings

PLUGINS = {"quota", "reverse"}  # of tests/plugin


def schema() -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "streamproc", "schema"], capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.endswith(b"}\n")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_it_describes_every_setting() -> None:
    """Each key of the file and of a stage is there, and no others are allowed."""
    found = schema()
    assert found["$schema"].startswith("https://json-schema.org/")
    for kind in (Settings, StageSettings):
        table = found["$defs"][kind.__name__]
        fields = set(kind.__struct_fields__) | (PLUGINS if kind is StageSettings else set())
        assert table["properties"].keys() == fields
        assert table["additionalProperties"] is False
        assert table.get("required", []) == []


def test_it_shows_types_and_defaults() -> None:
    """An editor can offer choices, check limits and show defaults."""
    settings = schema()["$defs"]["Settings"]["properties"]
    assert settings["concurrency"] == {"type": "integer", "minimum": 1, "default": 64}
    assert settings["timeout"]["default"] == 30
    assert {"type": "string"} in settings["timeout"]["anyOf"]
    assert settings["max_line_bytes"]["default"] == 16 << 20
    assert set(settings["on_error"]["enum"]) == {"annotate", "dead-letter", "drop", "stop"}
