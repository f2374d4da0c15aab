"""A plugin of streamproc: each component is one file, and one line in pyproject.toml."""
