"""Trying a pipeline before it costs anything: dry runs, and tests with scripted answers."""
