"""mailframe: a mail host that operators compose out of plugins."""
