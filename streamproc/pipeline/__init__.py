"""The stream. Read it in the order in which data meets it.

window, channel, producer, (engine,) reorder, writer, shutdown, run.
"""
