"""How much is read of a client."""

from twisted.internet.testing import StringTransport

from mailframe.reception.flow import READ_AHEAD, Flow
from mailframe.wire.transport import MOST_READ


def test_a_client_waits_while_too_much_lies_here():
    """Held past the bound, let go below it; neither is said twice."""
    transport = StringTransport()
    flow = Flow(transport, 1000)
    assert transport.bufferSize == 1000
    flow.hold(READ_AHEAD)
    assert transport.producerState == "producing"
    flow.hold(READ_AHEAD + 1)
    flow.hold(READ_AHEAD + 2)  # StringTransport raises at a second pause
    assert transport.producerState == "paused"
    flow.let_go(READ_AHEAD + 1)
    assert transport.producerState == "paused"
    flow.let_go(READ_AHEAD)
    flow.let_go()
    assert transport.producerState == "producing"


def test_content_is_read_in_large_pieces_and_nothing_else():
    """The transport is told when that changes."""
    transport = StringTransport()
    flow = Flow(transport, 1000)
    flow.read_much()
    assert flow.reads_much and transport.most_read == MOST_READ
    flow.read_little()
    assert not flow.reads_much and transport.most_read == READ_AHEAD
