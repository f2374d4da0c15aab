"""How far a run came, so that it can be killed anywhere: frontier, entry, keeper, resume."""
