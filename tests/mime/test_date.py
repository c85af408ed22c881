"""Dates as header fields have them."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime

from hypothesis import given
from hypothesis import strategies as st

from mailframe.mime.date import date_field, date_time


def test_the_date_is_one_that_others_read() -> None:
    """RFC 5322 section 3.3."""
    assert parsedate_to_datetime(date_time(1763849640)).timestamp() == 1763849640
    assert date_time(0) == "Thu, 01 Jan 1970 00:00:00 +0000"
    assert date_field(1763849640) == b"Date: Sat, 22 Nov 2025 22:14:00 +0000\r\n"


@given(st.integers(0, 1 << 36))
def test_any_second_is_the_one_that_the_system_says(second: int) -> None:
    """Leap years and centuries included."""
    assert date_time(second) == time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime(second))
