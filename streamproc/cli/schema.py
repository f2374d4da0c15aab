"""`streamproc schema`: JSON Schema of the pipeline file, for editors."""

from __future__ import annotations

import click


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
def schema() -> int:
    """Print the JSON Schema of the pipeline file."""
    from streamproc.codec import encode
    from streamproc.config.schema import pipeline_schema

    click.echo(encode(pipeline_schema()).decode())
    return 0
