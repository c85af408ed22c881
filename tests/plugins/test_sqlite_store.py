"""The parts of the SQLite queue, each by itself."""

from __future__ import annotations

import errno
import sqlite3

import pytest

from mailframe_plugins.sqlite_store.errors import damage, is_damage, is_full, translated
from mailframe_plugins.sqlite_store.leases import Lease, Leases


def test_leases_are_taken_back():
    """undo() restores what was put and dropped since begin()."""
    leases = Leases()
    leases.put("A", Lease(10.0, 1, 0.0, False))
    leases.begin()
    leases.put("A", Lease(20.0, 1, 0.0, False))
    leases.put("B", Lease(5.0, 2, 0.0, False))
    leases.drop("A")
    assert leases.keys() == {2}
    leases.undo()
    assert leases.get("A") == Lease(10.0, 1, 0.0, False)
    assert "B" not in leases
    assert leases.first_end() == 10.0
    assert leases.ended(9.0) == []
    assert [lease.key for lease in leases.ended(10.0)] == [1]
    assert len(leases) == 0
    assert leases.first_end() is None


def _error(code):
    error = sqlite3.OperationalError("words")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("code", "number"),
    [(13, errno.ENOSPC), (8, errno.EROFS), (14, errno.EACCES), (5, errno.EAGAIN),
     (10, errno.EIO), (10 | 12 << 8, errno.EIO), (19, errno.EEXIST), (1, errno.EIO)],
)  # fmt: skip
def test_errors_are_told_as_the_system_would(code, number):
    """OSError with the errno that the contract asks for."""
    told = translated(_error(code), 1 << 30)
    assert isinstance(told, OSError)
    assert told.errno == number
    assert "words" in str(told)


def test_an_io_error_on_a_full_disk_is_a_full_disk():
    """SQLite's shared memory cannot say why it does not grow."""
    assert translated(_error(10), 4096).errno == errno.ENOSPC
    assert is_full(_error(10))
    assert is_full(OSError(errno.EDQUOT, "quota"))
    assert not is_full(ValueError())


def test_others_errors_are_left_as_they_are():
    """A bug stays a bug."""
    bug = TypeError("bug")
    assert translated(bug, 0) is bug
    assert not is_damage(bug)
    assert is_damage(damage("we saw it"))
