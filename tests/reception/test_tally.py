"""What a session counts, command by command."""

from __future__ import annotations

from typing import Any

import pytest

from mailframe.reception.tally import Tally
from mailframe.settings import Limits
from mailframe.smtp.command import Bdat, Expn, Help, Noop, Rcpt, Rset, Vrfy
from mailframe.smtp.reply import TOO_MANY_COMMANDS
from mailframe.testing.values import recipient


class Added:
    """A command of an extension that nobody has thought of here."""


@pytest.mark.parametrize(
    "event",
    [Noop(), Rset(), Help(), Vrfy("x"), Expn("x"), Bdat(0), Added()],
    ids=lambda event: type(event).__name__,
)
def test_what_brings_no_mail_is_limited(event: Any) -> None:
    """One that is added later is limited, too, though nobody named it."""
    tally = Tally(Limits(commands=3))
    assert [tally.command(event) for _ in range(4)] == [None] * 3 + [TOO_MANY_COMMANDS]
    tally.accepted()
    assert tally.command(event) is None


@pytest.mark.parametrize("event", [Rcpt(recipient().address), Bdat(1), Bdat(0, True)], ids=str)
def test_what_brings_mail_is_not(event: Any) -> None:
    """However much it is."""
    tally = Tally(Limits(commands=3))
    assert [tally.command(event) for _ in range(9)] == [None] * 9
