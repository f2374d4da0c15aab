"""The command, and `python -m streamproc`."""

import gc
import os
import sys


def start() -> None:
    """Run the command, without the folder that Python looks into before its own library.

    It is that of the script, or the working directory for `-m`: nothing of ours is there.
    """
    if not sys.flags.safe_path:
        script = os.path.realpath(sys.argv[0])
        is_module = script == os.path.realpath(__file__)
        try:
            folder = os.getcwd() if is_module else os.path.dirname(script)
        except FileNotFoundError:  # somebody deleted it
            folder = ""
        if sys.path[:1] == [folder]:
            del sys.path[0]

    gc.set_threshold(100_000, 50, 100)  # modules stay: to look through them is time lost

    from streamproc.cli.early import leave_on_signals

    leave_on_signals()

    from streamproc.cli.main import main

    main()


if __name__ == "__main__":
    start()
