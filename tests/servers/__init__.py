"""Servers that the HTTP tests run against."""
