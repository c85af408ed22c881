"""The tables of settings in docs/ are those of the code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

WRITER = Path(__file__).parents[1] / "docs" / "write_settings.py"


def test_the_tables_of_settings_are_up_to_date() -> None:
    """`python docs/write_settings.py --check` finds nothing to write."""
    done = subprocess.run(
        [sys.executable, WRITER, "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
