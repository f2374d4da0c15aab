"""`streamproc schema`: JSON Schema of the pipeline file, for editors."""

from __future__ import annotations

import click

from streamproc.cli.command import streamproc_command


@streamproc_command()
def schema() -> int:
    """Print the JSON Schema of the pipeline file."""
    from streamproc.codec import encode
    from streamproc.config.schema import pipeline_schema

    click.echo(encode(pipeline_schema()).decode())
    return 0
