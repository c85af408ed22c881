"""The folders of workers' parts."""

from __future__ import annotations

from mailframe.spool.shards import ShardFolders


def test_the_first_has_the_folder_and_the_others_one_in_it(tmp_path):
    """Named by the worker's number."""
    parts = ShardFolders(tmp_path / "queue", "queue.db")
    assert parts.folder(0) == tmp_path / "queue"
    assert parts.folder(12) == tmp_path / "queue" / "12"


def test_a_part_is_there_if_its_mark_is(tmp_path):
    """What else lies in the folder is none."""
    parts = ShardFolders(tmp_path, "mark")
    assert list(parts.workers()) == []
    for name in ("2", "10", "0", "1x", "corrupt"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mark").touch()
    (tmp_path / "3").mkdir()
    assert list(parts.workers()) == [2, 10]
    (tmp_path / "mark").touch()
    assert list(parts.workers()) == [0, 2, 10]
