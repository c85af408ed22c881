"""The queue in SQLite keeps its promises on a disk that fails, and when it is killed."""

from __future__ import annotations

import os
from unittest import TestCase

import pytest

from mailframe.testing.failing_disk import FailingDiskContract

pytestmark = pytest.mark.live


class TestSqliteOnFailingDisk(FailingDiskContract, TestCase):
    store = "crash_stores:sqlite"
    # `make crash` tries more.
    points = int(os.environ.get("CRASH_POINTS", "2"))
    one_in = 1 if "CRASH_POINTS" in os.environ else 6


class TestForgetfulStore(FailingDiskContract, TestCase):
    store = "crash_stores:forgetful"

    def test_all_goes_well(self):
        """A store that forgets what it promised is found out."""
        said, there = self._after("", "")
        with self.assertRaisesRegex(AssertionError, "M[0-9] is lost"):
            self._judge(said, there, in_order=True)

    test_killed_at_every_call = test_every_call_fails = None
