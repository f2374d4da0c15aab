"""The street door: the only room that touches flags, signals, exit codes and the environment."""
