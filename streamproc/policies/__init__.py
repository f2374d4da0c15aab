"""Policies around a call: one file each, all of one shape."""
