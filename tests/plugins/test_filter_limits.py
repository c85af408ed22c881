"""`[[filter]] plugin = "limits"`."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mailframe.message import Envelope
from mailframe.plugin import SettingError
from mailframe.smtp.address import Mailbox
from mailframe.testing.plugins import FilterContract
from mailframe.testing.values import client, envelope, recipient, site
from mailframe_plugins.filter_limits import Meter, Rate, RateLimits, Settings


class TestContract(FilterContract, SynchronousTestCase):
    def make(self) -> RateLimits:
        return limits(Clock(), client="1/1h", sender_recipients="2/1m", user="1/s")


def limits(clock: Clock, **settings: Any) -> RateLimits:
    return RateLimits(Settings(**settings), site(reactor=clock))


def mail(address: str = "192.0.2.7", sender: str | None = "a@x.example", **who: Any) -> Envelope:
    return envelope(sender, client=client(address, **who))


@pytest.fixture
def clock() -> Clock:
    clock = Clock()
    clock.advance(1e9)
    return clock


def test_so_many_messages_and_then_one_at_a_time(clock: Clock) -> None:
    """The rate at once, then 450 4.7.1 with the seconds to wait, which are true."""
    to = limits(clock, client="3/1m")
    assert [to.sender(mail()) for _ in range(3)] == [None] * 3
    refused = to.sender(mail())
    assert str(refused) == "450 4.7.1 Too many messages from 192.0.2.7, try again in 20 seconds"
    clock.advance(19)
    assert to.sender(mail()) is not None
    clock.advance(1)
    assert to.sender(mail()) is None
    assert to.sender(mail()) is not None
    clock.advance(60)
    assert [to.sender(mail()) for _ in range(3)] == [None] * 3


def test_recipients_have_a_rate_of_their_own(clock: Clock) -> None:
    """Counted at RCPT, 452 4.7.1."""
    to = limits(clock, client_recipients="2/1h")
    assert to.sender(mail()) is None
    assert [to.recipient(mail(), recipient()) for _ in range(2)] == [None] * 2
    refused = to.recipient(mail(), recipient())
    assert refused is not None and (refused.code, refused.status) == (452, "4.7.1")
    assert "Too many recipients" in refused.text


def test_clients_are_networks_in_ipv6(clock: Clock) -> None:
    """64 bits of IPv6 are one client, a mapped IPv4 address is that address."""
    to = limits(clock, client="1/1h")
    assert to.sender(mail("2001:db8:0:1::1")) is None
    assert to.sender(mail("2001:db8:0:1:ffff::2")) is not None
    assert to.sender(mail("2001:db8:0:2::1")) is None
    assert to.sender(mail("fe80::1%eth0")) is None
    assert to.sender(mail("192.0.2.1")) is None
    assert to.sender(mail("::ffff:192.0.2.1")) is not None
    assert [to.sender(mail("unix")) for _ in range(3)] == [None] * 3


def test_senders_and_users_are_counted_wherever_they_come_from(clock: Clock) -> None:
    """In any case of letters; the null sender is nobody's, and nobody is no user."""
    to = limits(clock, sender="1/1h", user="2/1h")
    assert to.sender(mail("192.0.2.1", "A@x.example")) is None
    refused = to.sender(mail("192.0.2.2", "a@X.example"))
    assert refused is not None and "a@x.example" in refused.text
    assert [to.sender(mail(sender=None)) for _ in range(3)] == [None] * 3
    assert to.sender(mail(sender=None, user="bob")) is None
    assert to.sender(mail(sender="b@x.example", user="bob")) is None
    assert "from bob" in str(to.sender(mail(sender=None, user="bob")))


def test_what_is_refused_is_not_counted(clock: Clock) -> None:
    """Neither by the rate that refuses nor by the others."""
    to = limits(clock, client="10/1h", sender="1/1h")
    assert to.sender(mail()) is None
    for _ in range(20):
        assert to.sender(mail()) is not None
    others = [to.sender(mail(sender=f"user{n}@x.example")) for n in range(9)]
    assert others == [None] * 9
    assert to.sender(mail(sender="last@x.example")) is not None


def test_exempt_networks_are_not_counted(clock: Clock) -> None:
    """Not by any rate."""
    to = limits(clock, client="1/1h", sender="1/1h", exempt=("192.0.2.0/24", "2001:db8::/32"))
    assert [to.sender(mail()) for _ in range(3)] == [None] * 3
    assert [to.sender(mail("2001:db8::1")) for _ in range(3)] == [None] * 3
    assert to.sender(mail("198.51.100.1")) is None
    assert to.sender(mail("198.51.100.1")) is not None


def test_odd_names_make_no_odd_reply(clock: Clock) -> None:
    """What a stranger writes is shown in ASCII, or not at all."""
    to = limits(clock, sender="1/1h")
    odd = envelope(Mailbox("a\r\n250 ok ü", "x.example"))
    assert to.sender(odd) is None
    refused = to.sender(odd)
    assert refused is not None and refused.text.isascii() and "\n" not in refused.text


def test_who_came_longest_ago_is_forgotten(clock: Clock) -> None:
    """So many entries for each rate; who still comes is not forgotten."""
    meter = Meter(Rate(1, 60.0), 100)
    for n in range(1000):
        meter.take("regular", float(n))
        meter.take(f"once{n}", float(n))
    assert len(meter) == 100
    assert meter.wait("regular", 999.0) > 0
    assert meter.wait("once0", 999.0) == 0.0


def test_a_clock_set_back_shuts_nobody_out(clock: Clock) -> None:
    """For longer than the period."""
    meter = Meter(Rate(2, 60.0), 100)
    meter.take("a", 1e9)
    meter.take("a", 1e9)
    assert 0 < meter.wait("a", 1e9 - 86400) <= 60
    meter.take("a", 1e9 - 86400)
    assert meter.wait("a", 1e9 - 86400 + 61) <= 60


@given(st.lists(st.floats(0, 50), max_size=60), st.integers(1, 10), st.floats(1, 100))
def test_no_window_sees_more_than_twice_the_rate(
    gaps: list[float], count: int, period: float
) -> None:
    """However they come, at most twice `count` pass in any `period`."""
    meter, now = Meter(Rate(count, period), 10), 1e6
    passed: list[float] = []
    for gap in gaps:
        now += gap
        if not meter.wait("x", now):
            meter.take("x", now)
            passed.append(now)
    for at in passed:
        assert sum(at <= other < at + period for other in passed) <= 2 * count


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("100/1h", Rate(100, 3600.0)),
        ("10/s", Rate(10, 1.0)),
        (" 5 / 30 m ", Rate(5, 1800.0)),
        ("1/2d", Rate(1, 172800.0)),
    ],
)
def test_rates_are_read(text: str, rate: Rate) -> None:
    """COUNT/TIME."""
    assert Rate.parse(text) == rate


@pytest.mark.parametrize("text", ["", "100", "0/1h", "5/0h", "x/1h", "5/1y", "-5/1h", "5/1h/2"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    """With the key that holds it."""
    with pytest.raises(SettingError) as caught:
        limits(Clock(), sender_recipients=text)
    assert caught.value.key == "sender_recipients"


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({}, "client"),
        ({"client": "1/s", "entries": 0}, "entries"),
        ({"client": "1/s", "exempt": ("192.0.2.1/24",)}, "exempt"),
    ],
)
def test_other_wrong_settings(settings: dict[str, Any], key: str) -> None:
    """No rate at all, no memory at all, a network that is none."""
    with pytest.raises(SettingError) as caught:
        limits(Clock(), **settings)
    assert caught.value.key == key
