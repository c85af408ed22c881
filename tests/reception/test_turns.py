"""One client's commands, however many come together, leave the others their turns."""

from __future__ import annotations

from reception_kit import Place

from mailframe.eventual import TURN
from mailframe.message import Route


class Slow:
    """A router that takes 4 ms of everybody's time for each recipient."""

    def __init__(self):
        self.clock = None
        self.asked = 0

    def route(self, envelope, recipient):
        self.asked += 1
        self.clock.rightNow += 0.004
        return Route("box")


def slow_place():
    router = Slow()
    place = Place(routes=router)
    router.clock = place.clock
    return place, router


def rcpts(count):
    return [f"RCPT TO:<u{number}@example.org>" for number in range(count)]


def test_commands_sent_together_are_answered_in_turns():
    """Sixty RCPT at once: three to a turn, the rest after the others' turns, all in order."""
    place, router = slow_place()
    talk, other = place.greeted(), place.greeted()
    talk.mail("first")
    router.asked = 0
    lines = "".join(f"{line}\r\n" for line in [*rcpts(60), "NOOP"])
    talk.send(lines.encode())
    assert 1 <= router.asked <= TURN / 0.004 + 1
    assert other.wire.protocol is not None
    other.send(b"NOOP\r\n")
    assert other.wire.value().endswith(b"250 2.0.0 OK\r\n")
    assert router.asked < 10
    heard = talk.heard()
    assert router.asked == 60
    assert [line[:9] for line in heard] == ["250 2.1.5"] * 60 + ["250 2.0.0"]


def test_a_client_that_goes_between_two_turns_is_done_with():
    """What it sent behind is not answered, and the session ends."""
    place, router = slow_place()
    talk = place.greeted()
    talk.send("".join(f"{line}\r\n" for line in ["MAIL FROM:<>", *rcpts(60)]).encode())
    asked = router.asked
    talk.disconnect()
    place.clock.advance(1)
    assert router.asked == asked
    assert place.reception.stop_gracefully().called


def test_a_stop_between_two_turns_ends_the_session():
    """421 at the next turn: what was sent behind is not begun."""
    place, router = slow_place()
    talk = place.greeted()
    talk.send("".join(f"{line}\r\n" for line in ["MAIL FROM:<>", *rcpts(60)]).encode())
    stopped = place.reception.stop_gracefully()
    asked = router.asked
    assert talk.heard()[-1].startswith("421")
    assert router.asked == asked
    assert talk.closed and stopped.called
