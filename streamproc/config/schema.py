"""The shape of the pipeline file, as JSON Schema."""

from __future__ import annotations

from typing import Any

import msgspec

from streamproc.config.settings import Settings
from streamproc.units import schema_hook


def pipeline_schema() -> dict[str, Any]:
    """JSON Schema 2020-12 of a pipeline file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "streamproc pipeline file",
        **msgspec.json.schema(Settings, schema_hook=schema_hook),
    }
