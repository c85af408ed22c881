"""How long a client may take, by what it is its turn to do."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from mailframe.reception.patience import UNREAD_PATIENCE, Patience
from mailframe.reception.phase import ABORT, CLOSE, Phase
from mailframe.settings import Limits
from mailframe.wire.listener import CLOSE_PATIENCE

LIMITS = Limits(
    command_timeout=300, data_timeout=180, data_total=600, tls_timeout=30, session_timeout=10_000
)


def session(in_content=False, began=None):
    """What is asked of a session; `began` is when its content did."""
    transaction = None if began is None else SimpleNamespace(began=began)
    dialogue = SimpleNamespace(in_content=in_content)
    return SimpleNamespace(dialogue=dialogue, transaction=transaction)


COMMANDS = session()


def spent(phase, after, *, unread_since=None, session=COMMANDS):
    """What follows so many seconds after something happened last."""
    patience = Patience(LIMITS, 0.0)
    patience.since = 1000.0
    return patience.spent(1000.0 + after, phase, unread_since, session)


@pytest.mark.parametrize(
    ("phase", "session", "limit", "step"),
    [
        (Phase.OPEN, session(), 300, CLOSE),
        (Phase.OPEN, session(in_content=True), 180, CLOSE),
        (Phase.WRAPPING, session(), 30, ABORT),
        (Phase.SECURING, session(), 30, ABORT),
        (Phase.CLOSING, None, CLOSE_PATIENCE, ABORT),
    ],
)
def test_each_turn_has_its_limit(phase, session, limit, step):
    """Up to it nothing happens; past it the client reads why, if it can read."""
    assert spent(phase, limit, session=session) is None
    assert spent(phase, limit + 1, session=session) is step


@pytest.mark.parametrize(
    "phase", [Phase.HOLDING, Phase.GREETING, Phase.ANSWERING, Phase.FINISHING, Phase.GONE]
)
def test_a_client_does_not_pay_for_our_time(phase):
    """It waits for us."""
    assert spent(phase, 8000) is None


def test_replies_that_are_not_read_are_waited_for_a_minute():
    """Whoever's turn it is."""
    for phase in (Phase.OPEN, Phase.ANSWERING):
        assert spent(phase, 0, unread_since=1000 - UNREAD_PATIENCE) is None
        assert spent(phase, 1, unread_since=1000 - UNREAD_PATIENCE) is ABORT


def test_a_message_and_a_session_have_limits_in_all():
    """However busily the client sends."""
    assert spent(Phase.OPEN, 0, session=session(began=400.0)) is None
    assert spent(Phase.OPEN, 1, session=session(began=400.0)) is CLOSE
    patience = Patience(LIMITS, 0.0)
    patience.since = 10_000.0
    assert patience.spent(10_000.0, Phase.OPEN, None, session()) is None
    assert patience.spent(10_001.0, Phase.OPEN, None, session()) is CLOSE


class Slow:
    """A client in the middle of a message, looked at every second."""

    def __init__(self, **limits):
        self.patience = Patience(replace(LIMITS, data_total=10_000, **limits), 0.0)
        self.now = 0.0
        self.talk = session(in_content=True, began=1.0)

    def brings(self, octets, seconds, phase=Phase.OPEN):
        """So many octets a second for so long: after how many seconds it is closed, else None."""
        for second in range(1, seconds + 1):
            self.now += 1.0
            if octets:
                self.patience.since = self.now
                self.patience.brought += octets
            if self.patience.spent(self.now, phase, None, self.talk) is CLOSE:
                return second
        return None


def test_content_that_trickles_is_not_waited_for():
    """An octet a second is no block, though each comes in time."""
    assert Slow().brings(1, 3600) == 182
    assert Slow().brings(99, 3600) == 182
    assert Slow(data_rate=1).brings(1, 3600) is None
    assert Slow(data_timeout=10).brings(1, 3600) == 182
    assert Slow(data_timeout=400).brings(1, 3600) == 402


def test_a_slow_client_has_its_time():
    """RFC 5321 section 4.5.3.2.5: three minutes for a block, however many there are."""
    assert Slow().brings(100, 3600) is None
    slow = Slow()
    for _ in range(20):
        assert slow.brings(0, 150) is None
        assert slow.brings(18_000, 1) is None


def test_our_own_time_is_not_the_clients():
    """While we write, and it waits, the block is not overdue."""
    slow = Slow()
    assert slow.brings(1, 100) is None
    assert slow.brings(0, 1000, Phase.ANSWERING) is None
    assert slow.brings(1, 1000) == 82


def test_another_message_begins_anew():
    """What came of the last one is neither counted nor held against it."""
    slow = Slow()
    assert slow.brings(1, 170) is None
    slow.talk = session(in_content=True, began=171.0)
    assert slow.brings(1, 1000) == 182


def test_between_chunks_there_is_time_for_a_command():
    """RFC 3030: five minutes more; but chunks of one octet trickle as well."""
    slow = Slow()
    slow.talk.dialogue.in_content = False
    assert slow.brings(0, 290) is None
    slow.patience.since = slow.now
    slow.talk.dialogue.in_content = True
    assert slow.brings(1, 1000) == 192
