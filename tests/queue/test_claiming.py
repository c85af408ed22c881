"""How the window is filled, and what has room in it."""

from __future__ import annotations

import errno
from dataclasses import replace

from queue_kit import TIMES, House
from twisted.internet.defer import Deferred

from mailframe.message import Outcome, Status
from mailframe.smtp.reply import OK
from mailframe_plugins.queue_memory import MemoryQueue


def test_the_window_is_bounded():
    """No more than `active` messages are worked on; the rest follows as they end."""
    house = House(replace(TIMES, active=4, per_destination=100))
    waits = {}
    for number in range(12):
        waits[number] = house.agent.answers[f"u@d{number}.example"] = Deferred()
    for number in range(12):
        house.send(f"u@d{number}.example", id=f"M{number:02}")
    house.clock.advance(1)
    assert len(house.agent.calls) == 4
    for number in range(12):
        _, routes = house.agent.calls[number]
        waits[number].callback([Outcome(routes[0].recipient, Status.RELAYED, OK)])
        house.clock.advance(1)
        assert len(house.agent.calls) - number - 1 <= 4
    assert house.queued() == []


def test_fresh_mail_leaves_half_of_the_window_to_what_waits():
    """While more is due than there is room for, has_room() says no sooner."""
    house = House(replace(TIMES, active=4))
    for number in range(8):
        house.agent.answers[f"u@d{number}.example"] = Deferred()
        house.send(f"u@d{number}.example", id=f"M{number}")
    house.clock.advance(1)
    assert not house.scheduler.has_room()
    for number in range(2):
        _, routes = house.agent.calls[number]
        house.agent.answers[f"u@d{number}.example"].callback(
            [Outcome(routes[0].recipient, Status.RELAYED, OK)]
        )
    assert not house.scheduler.has_room()


def test_a_store_that_does_not_answer_is_asked_again():
    """A failing claim is logged and tried again after a while."""

    class Failing(MemoryQueue):
        failures = 2

        def claim(self, *arguments):
            self.failures -= 1
            if self.failures >= 0:
                raise OSError(errno.EIO, "no")
            return super().claim(*arguments)

    house = House(store=Failing, start=False)
    house.send()
    house.scheduler.startService()
    house.clock.advance(0)
    assert house.agent.delivered == []
    house.wait(30, 10.0)
    assert house.agent.delivered == ["bob@far.example"]
