"""`streamproc init`: a pipeline file to begin with, and its test."""

from __future__ import annotations

from pathlib import Path

import click

import streamproc
from streamproc.cli.command import streamproc_command
from streamproc.cli.leave import say
from streamproc.errors import CreateError
from streamproc.nearest import not_created

_PIPELINE, _TEST = "pipeline.toml", "pipeline_test.toml"  # in the folder of our data


@streamproc_command()
@click.argument("file", default=_PIPELINE)
def init(file: str) -> int:
    """Write a commented pipeline FILE to begin with, and a test that passes.

    FILE is pipeline.toml if it is not given; its test is beside it, in pipeline_test.toml.
    """
    from streamproc.cli.main import if_it_is_a_file

    if file == "-":
        raise click.UsageError("two files are written: name the first, as my_pipeline.toml")
    pipeline = Path(file)
    test = pipeline.with_name(f"{pipeline.stem}_test.toml")
    for path in (pipeline, test):
        if path.exists():
            raise CreateError(
                f"{path} exists, and stays as it is; name another: streamproc init OTHER.toml"
            )
    assert streamproc.__file__ is not None
    data = Path(streamproc.__file__).parent / "data"
    for path, name in ((pipeline, _PIPELINE), (test, _TEST)):
        text = (data / name).read_text("utf-8")
        text = text.replace(_TEST, test.name).replace(_PIPELINE, pipeline.name)
        try:
            with path.open("x", encoding="utf-8") as new:
                new.write(text)
        except OSError as error:
            said = not_created(error, str(path))
            raise CreateError(f"{path} cannot be created: {said}") from error
    hint = if_it_is_a_file("init")
    say(f"{pipeline} and {test} are written; see that they work: streamproc test {test}{hint}")
    return 0
