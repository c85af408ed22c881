"""Time limits, bounds, pauses, and the end of connections."""

import pytest
from reception_kit import Place, Speaks, Watching
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred

from mailframe.reception.flow import READ_AHEAD
from mailframe.settings import Limits
from mailframe.smtp.reply import Reply
from mailframe.smtp.server import ServerDialogue
from mailframe.wire.transport import MOST_READ

TIMEOUT = "421 4.4.2 Timeout, closing the connection"
BUSY = "421 4.7.0 Too many connections, try again later"
STOPPING = "421 4.3.2 Service shutting down, try again later"


def wait(place, seconds):
    place.clock.pump([1.0] * int(seconds))


def test_a_client_that_says_nothing_is_timed_out():
    """RFC 5321 section 4.5.3.2.7: five minutes."""
    place = Place()
    talk = place.connect()
    wait(place, 299)
    assert talk.heard() == []
    wait(place, 3)
    assert talk.heard() == [TIMEOUT]
    assert talk.closed
    assert place.reception.sessions == 0


def test_a_command_octet_by_octet_is_timed_out():
    """Only a whole command counts."""
    place = Place(limits=Limits(command_timeout=10))
    talk = place.greeted()
    for _ in range(15):
        if not talk.closed:
            talk.send(b"x")
            wait(place, 1)
    assert talk.heard() == [TIMEOUT]


def test_content_may_come_slowly_but_not_for_ever():
    """Between octets, and in all."""
    place = Place(limits=Limits(data_timeout=10, data_total=60, command_timeout=5))
    talk = place.greeted()
    talk.mail("bob")
    talk.say("DATA")
    for _ in range(7):
        talk.send(b"x")
        wait(place, 8)
    assert talk.heard() == []
    talk.send(b"x")
    wait(place, 8)
    assert talk.heard() == [TIMEOUT]
    assert talk.closed
    assert place.store.drafts[0].aborted


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(("piece", "is_taken"), [(b"x\r\n", False), (b"x" * 98 + b"\r\n", True)])
def test_content_may_not_trickle(chunked, piece, is_taken):
    """By DATA or by BDAT: a hundred octets a second are enough, three are not."""
    place = Place()
    talk = place.greeted()
    talk.mail("bob")
    talk.say("DATA" if not chunked else "BDAT 100000")
    for _ in range(900):
        if not talk.closed:
            talk.send(piece)
            wait(place, 1)
    assert talk.heard() == ([] if is_taken else [TIMEOUT])
    assert talk.closed is not is_taken


def test_content_that_stops_is_timed_out():
    """And leaves nothing."""
    place = Place(limits=Limits(data_timeout=10))
    talk = place.greeted()
    talk.mail("bob")
    talk.say("DATA")
    wait(place, 12)
    assert talk.heard() == [TIMEOUT]
    assert talk.closed
    assert place.store.drafts[0].aborted


def test_a_whole_session_has_a_limit():
    """However busy it is."""
    place = Place(limits=Limits(session_timeout=30, commands=1000))
    talk = place.greeted()
    heard = []
    for _ in range(40):
        if not talk.closed:
            heard += talk.say("NOOP")
            wait(place, 1)
            heard += talk.heard()
    assert heard[-1] == TIMEOUT


def test_our_own_slowness_times_nobody_out():
    """While a hook thinks, it is not the client who is late."""
    slow = Deferred()
    place = Place(limits=Limits(command_timeout=5), filters=[Speaks(sender=lambda envelope: slow)])
    talk = place.greeted()
    talk.say("MAIL FROM:<>")
    wait(place, 20)
    slow.callback(None)
    assert talk.codes() == ["250"]
    wait(place, 4)
    assert talk.heard() == []


def test_connections_are_bounded():
    """421 4.7.0 at connect; who leaves makes room."""
    place = Place(limits=Limits(connections=1))
    first = place.connect()
    second = place.connect()
    assert second.greeting == [BUSY]
    assert second.closed
    first.say("QUIT")
    assert first.closed
    assert place.connect().greeting[0].startswith("220")
    assert place.reception.sessions == 1


def test_connections_of_one_client_are_bounded():
    """By address, IPv6 by /64; a unix socket is no client."""
    place = Place(limits=Limits(connections_per_client=1))
    greetings = [
        place.connect(peer).greeting[0][:3]
        for peer in (
            IPv4Address("TCP", "192.0.2.1", 1),
            IPv4Address("TCP", "192.0.2.1", 2),
            IPv6Address("TCP", "2001:db8::1", 1),
            IPv6Address("TCP", "2001:db8::2", 1),
            UNIXAddress(b"/run/x"),
            UNIXAddress(b"/run/x"),
        )
    ]
    assert greetings == ["220", "421", "220", "421", "220", "220"]


def test_a_refused_client_that_does_not_close_is_dropped():
    """It cannot hold its connection."""
    place = Place(limits=Limits(connections=0))
    talk = place.connect()
    assert talk.greeting == [BUSY]
    talk.protocol.dataReceived(b"EHLO x\r\n")
    wait(place, 20)
    assert talk.wire.aborted
    watching = Watching()
    Place(limits=Limits(connections=0), observers=[watching]).connect()
    assert watching.verdicts("session") == [BUSY]


def test_commands_that_bring_no_mail_are_bounded():
    """421 4.7.0; an accepted message starts the count again."""
    place = Place(limits=Limits(commands=5))
    talk = place.greeted()
    assert talk.codes(*["NOOP"] * 6) == ["250"] * 4 + ["421"]
    assert talk.closed
    talk = place.greeted()
    for _ in range(3):
        assert talk.codes("NOOP", "RSET", "VRFY x") == ["250", "250", "252"]
        talk.mail("bob")
        assert talk.message().startswith("250")


def test_errors_are_bounded():
    """421 4.7.0 in place of the next refusal; an accepted message starts the count again."""
    place = Place(limits=Limits(errors=2))
    talk = place.greeted()
    assert talk.codes("A", "B", "C", "NOOP") == ["500", "500", "421"]
    assert talk.closed
    talk = place.greeted()
    for _ in range(3):
        assert talk.codes("A", "B") == ["500", "500"]
        talk.mail("bob")
        assert talk.message().startswith("250")


def test_transactions_are_bounded():
    """421 4.7.0 at MAIL."""
    talk = Place(limits=Limits(messages=2)).greeted()
    assert talk.codes(*["MAIL FROM:<>", "RSET"] * 3) == ["250"] * 4 + ["421"]
    assert talk.closed


def test_the_greeting_can_be_delayed():
    """Whoever waits is greeted."""
    place = Place(greet_delay=6)
    talk = place.connect()
    assert talk.greeting == []
    place.clock.advance(5.9)
    assert talk.heard() == []
    place.clock.advance(0.2)
    assert talk.heard()[0].startswith("220")
    assert talk.codes("EHLO client.example")[0] == "250"


def test_who_speaks_before_the_greeting_is_refused():
    """554 5.5.0, and no timer is left."""
    watching = Watching()
    place = Place(greet_delay=6, observers=[watching])
    talk = place.connect()
    assert talk.say("EHLO client.example") == ["554 5.5.0 You spoke before the greeting"]
    assert talk.closed
    assert watching.verdicts("session") == ["spoke before the greeting", "disconnected"]
    wait(place, 2)
    assert place.clock.getDelayedCalls() == []


def test_who_leaves_before_the_greeting_leaves_no_timer():
    """Nothing is left to be called."""
    place = Place(greet_delay=6)
    place.connect().disconnect()
    wait(place, 2)
    assert place.clock.getDelayedCalls() == []


def test_a_client_that_sends_on_while_a_hook_thinks_is_paused():
    """Past a bound; what it sent is answered in order then."""
    slow = Deferred()
    place = Place(filters=[Speaks(sender=lambda envelope: slow)], limits=Limits(commands=100_000))
    talk = place.greeted()
    talk.send(b"MAIL FROM:<>\r\n" + b"NOOP\r\n" * 5000)
    assert talk.wire.reading
    talk.send(b"NOOP\r\n" * 6000)
    assert not talk.wire.reading
    slow.callback(None)
    assert talk.wire.reading
    assert len(talk.heard()) == 11_001


def test_content_is_read_in_large_pieces_but_not_while_it_waits():
    """Octets that nobody takes yet lie here: a stranger must not make them many."""
    place = Place()
    talk = place.greeted()
    talk.mail("bob")
    assert talk.wire.most_read == READ_AHEAD
    talk.say("DATA")
    talk.send(b"x" * 1000)
    assert talk.wire.most_read == READ_AHEAD
    talk.send(b"x" * READ_AHEAD)
    assert talk.wire.most_read == MOST_READ
    place.store.slow.update(("write", "commit"))
    talk.send(b"x" * READ_AHEAD)
    assert talk.wire.most_read == READ_AHEAD
    place.store.go_on()
    talk.send(b"\r\n.\r\n")
    place.store.go_on()
    assert talk.wire.most_read == READ_AHEAD


def test_a_client_that_reads_again_is_answered_again():
    """What waited is answered, and nothing is lost."""
    place = Place(limits=Limits(commands=10_000, unread_replies=1000))
    talk = place.greeted()
    assert talk.wire.bufferSize == 1000
    talk.wire.held = 0
    sent = 0
    while talk.protocol._flow.unread_since is None:
        talk.send(b"NOOP\r\n" * 10)
        sent += 10
    talk.send(b"NOOP\r\n" * 20)
    before = len(talk.heard())
    assert before == sent
    talk.wire.held = None
    talk.protocol.resumeProducing()
    assert len(talk.heard()) == 20
    wait(place, 100)
    assert not talk.wire.aborted


def test_the_last_reply_is_not_waited_for_without_end():
    """A client that does not close is dropped."""
    place = Place()
    talk = place.greeted()
    talk.protocol.dataReceived(b"QUIT\r\n")
    assert talk.wire.closed and not talk.wire.aborted
    talk.protocol.dataReceived(b"NOOP\r\n")
    wait(place, 20)
    assert talk.wire.aborted


def test_a_plugin_can_end_the_session():
    """421 as a filter's answer closes the connection, in its order."""
    gone = Reply(421, "Enough", "4.7.0")
    talk = Place(filters=[Speaks(sender=lambda envelope: gone)]).greeted()
    assert talk.codes("NOOP", "MAIL FROM:<>", "NOOP") == ["250", "421"]
    assert talk.closed


def fired(deferred):
    results = []
    deferred.addCallback(results.append)
    return results


def test_stopping_lets_idle_clients_go_at_once():
    """421 4.3.2 to each; the Deferred fires when the last one is gone."""
    place = Place()
    first, second = place.greeted(), place.connect()
    ended = fired(place.reception.stop_gracefully())
    assert first.heard() == [STOPPING]
    assert second.heard() == [STOPPING]
    assert first.closed
    assert ended == []
    assert second.closed
    assert ended == [None]
    assert place.clock.getDelayedCalls() == []


def test_stopping_without_clients_is_done_at_once():
    """And new clients are refused."""
    place = Place()
    assert fired(place.reception.stop_gracefully()) == [None]
    talk = place.connect()
    assert talk.greeting == [STOPPING]
    assert talk.closed


def test_stopping_finishes_the_commit_under_way():
    """250, then 421; what is pipelined behind is not begun."""
    place = Place()
    talk = place.greeted()
    talk.mail("bob")
    talk.say("DATA")
    place.store.slow.add("commit")
    talk.say("x", ".", "MAIL FROM:<>")
    ended = fired(place.reception.stop_gracefully())
    assert talk.heard() == []
    place.store.go_on()
    heard = talk.heard()
    assert heard[0].startswith("250 2.0.0 OK, queued")
    assert heard[1:] == [STOPPING]
    assert talk.closed
    assert ended == [None]


def test_stopping_lets_content_finish():
    """The message is accepted."""
    place = Place()
    talk = place.greeted()
    talk.mail("bob")
    talk.say("DATA")
    place.reception.stop_gracefully()
    assert talk.heard() == []
    heard = talk.say("x", ".")
    assert heard[0].startswith("250")
    assert heard[1:] == [STOPPING]


def test_stopping_during_the_greetings_delay():
    """Nobody waits for it."""
    place = Place(greet_delay=100)
    talk = place.connect()
    place.reception.stop_gracefully()
    assert talk.heard() == [STOPPING]


def test_dropping_ends_what_is_left():
    """Without a word."""
    place = Place()
    talk = place.greeted()
    talk.mail("bob")
    talk.say("DATA")
    ended = fired(place.reception.stop_gracefully())
    place.reception.drop()
    assert talk.wire.aborted
    assert talk.closed
    assert ended == [None]
    assert place.store.drafts[0].aborted


def test_one_timer_for_all_sessions():
    """Idle sessions cost no timers of their own, and none is left after the last."""
    place = Place()
    talks = [place.greeted() for _ in range(20)]
    assert len(place.clock.getDelayedCalls()) == 1
    for talk in talks:
        talk.disconnect()
    wait(place, 2)
    assert place.clock.getDelayedCalls() == []


def test_a_factory_that_no_port_uses_keeps_no_timer():
    """Twisted's doStop."""
    place = Place()
    place.reception.doStart()
    talk = place.connect()
    place.reception.doStop()
    assert len(place.clock.getDelayedCalls()) == 1
    talk.disconnect()
    assert place.clock.getDelayedCalls() == []
    place.reception.doStart()
    place.connect().disconnect()
    assert len(place.clock.getDelayedCalls()) == 1
    place.reception.doStop()
    assert place.clock.getDelayedCalls() == []


@pytest.mark.parametrize("seed", range(3))
def test_garbage_gets_replies_or_a_421(seed):
    """Never an exception, never silence for ever."""
    import random

    chance = random.Random(seed)
    place = Place()
    talk = place.connect()
    for _ in range(200):
        if talk.closed:
            break
        talk.send(chance.randbytes(chance.randrange(1, 200)) + b"\r\n")
    assert talk.heard()[-1].startswith("421")


def test_a_bug_after_a_wait_drops_the_client(monkeypatch):
    """Nobody is left half answered; the draft is gone, the cause in the log."""
    slow = Deferred()
    place = Place(filters=[Speaks(content=lambda envelope, content: slow)])
    talk = place.greeted()
    talk.mail("bob")
    talk.say("DATA")
    talk.say("x", ".")

    def fail(*replies):
        raise ValueError("a bug")

    monkeypatch.setattr(ServerDialogue, "send", lambda dialogue, *replies: fail(*replies))
    slow.callback(Reply(550, "Not this", "5.7.1"))
    assert talk.wire.aborted
    assert talk.closed
    assert place.store.drafts[0].aborted
    assert place.reception.sessions == 0
