"""The tables borrow the kits of the rooms that they test."""

from __future__ import annotations

import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
sys.path += [str(TESTS / room) for room in ("reception", "transmission", "plugins")]
