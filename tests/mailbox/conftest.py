"""A Maildir to try the store on."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from mailbox_kit import Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """An empty Maildir."""
    return Place(tmp_path / "Maildir")
