"""The version, where everybody may look at it."""

__version__ = "0.1.0"
