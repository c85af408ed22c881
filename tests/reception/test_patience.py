"""How long a client may take, by what it is its turn to do."""

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
