"""Engines take batches and finish every line of them."""
