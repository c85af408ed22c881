"""The folders of a store of which each worker has a part (IShardedStore)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class ShardFolders:
    """Worker 0 has the folder itself; each other worker has a folder in it, named by its number.

    A part exists if its folder contains `mark`, a file that every part of the store has.
    """

    def __init__(self, root: Path, mark: str) -> None:
        self._root = root
        self._mark = mark

    def folder(self, worker: int) -> Path:
        """That worker's part, whether it exists or not."""
        return self._root / str(worker) if worker else self._root

    def workers(self) -> Sequence[int]:
        """The workers whose parts exist, sorted. Blocks."""
        found = [int(path.parent.name) for path in self._root.glob(f"[1-9]*/{self._mark}")
                 if path.parent.name.isdecimal()]  # fmt: skip
        return sorted([0, *found]) if (self._root / self._mark).exists() else sorted(found)
