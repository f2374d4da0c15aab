"""Figures of streamproc against raw loops and peers: `python -m benchmarks --help`."""
