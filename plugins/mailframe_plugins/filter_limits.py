"""[[filter]] plugin = "limits", client = "100/1h", sender = "50/1h", user = "200/1h"

Limits the rates of messages (counted at MAIL) and of recipients (counted at RCPT) for each client
(an IPv4 address, or an IPv6 network of 64 bits), each sender's address and each authenticated user.
"100/1h" allows 100 at once, then one every 36 seconds. What is refused is not counted. Each process
counts separately, in memory.
"""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from mailframe.interfaces import IFilter
from mailframe.message import Client, Envelope, Recipient
from mailframe.names.ip import IpNetwork, customer_of, ip_or_none, parse_network
from mailframe.plugin import Filter, Plugin, SettingError, Site, setting
from mailframe.smtp.reply import Reply

_RATE = re.compile(r"\s*(\d{1,9})\s*/\s*(\d{0,9})\s*([smhd])\s*")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_KEEPS = re.compile(r"[^ -~]")


@dataclass(frozen=True)
class Settings:
    """The settings; a rate is "COUNT/TIME" such as "100/1h", and None means no limit."""

    client: str | None = setting(
        "messages of one client (an IPv4 address or an IPv6 /64): COUNT/TIME", None
    )
    client_recipients: str | None = setting("recipients of one client: COUNT/TIME", None)
    sender: str | None = setting("messages of one sender's address: COUNT/TIME", None)
    sender_recipients: str | None = setting("recipients of one sender's address: COUNT/TIME", None)
    user: str | None = setting("messages of one user who has logged in: COUNT/TIME", None)
    user_recipients: str | None = setting(
        "recipients of one user who has logged in: COUNT/TIME", None
    )
    exempt: tuple[str, ...] = setting("networks whose clients are not counted", ())
    entries: int = setting(
        "the most clients, senders or users that are remembered for each rate", 100_000
    )


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` at once, and as many again in `period` seconds."""

    count: int
    period: float

    @classmethod
    def parse(cls, text: str) -> Rate:
        """ValueError for a text that is no rate."""
        match = _RATE.fullmatch(text)
        count, times = (int(match[1]), int(match[2] or 1)) if match else (0, 0)
        if match is None or not count or not times:
            raise ValueError(f'{text!r} is not a rate such as "100/1h"')
        return cls(count, times * _SECONDS[match[3]])


class Meter:
    """Counts by key, with one number for each (the generic cell rate algorithm).

    The number is the time, in seconds, when everything that came so far will be paid for. At most
    `entries` keys are remembered; the one that came longest ago is forgotten first.
    """

    def __init__(self, rate: Rate, entries: int) -> None:
        self._period = rate.period
        self._each = rate.period / rate.count
        self._entries = entries
        self._paid: OrderedDict[str, float] = OrderedDict()

    def wait(self, key: str, now: float) -> float:
        """Seconds until one more is allowed; 0.0 for at once."""
        paid = self._paid.get(key, 0.0)
        # If the clock is set back, that must not shut a client out for longer than a period.
        ahead = min(paid - now, self._period)
        over = ahead + self._each - self._period
        return over if over > 1e-6 else 0.0

    def take(self, key: str, now: float) -> None:
        """Count one more."""
        paid = min(self._paid.pop(key, 0.0), now + self._period)
        self._paid[key] = max(paid, now) + self._each
        if len(self._paid) > self._entries:
            self._paid.popitem(last=False)

    def __len__(self) -> int:
        return len(self._paid)


class RateLimits(Filter):
    """Refuses clients, senders and users that send too fast, for a while."""

    def __init__(self, settings: Settings, site: Site) -> None:
        if settings.entries < 1:
            raise SettingError("entries", "at least 1 is wanted")
        self._now = site.now
        self._exempt = tuple(_networks(settings.exempt))
        self._meters: dict[str, Meter] = {}
        for who in ("client", "sender", "user"):
            for key in (who, f"{who}_recipients"):
                text = getattr(settings, key)
                if text is None:
                    continue
                try:
                    self._meters[key] = Meter(Rate.parse(text), settings.entries)
                except ValueError as wrong:
                    raise SettingError(key, str(wrong)) from wrong
        if not self._meters:
            raise SettingError("client", "no rate is set")

    def sender(self, envelope: Envelope) -> Reply | None:
        """Count one message."""
        return self._count(envelope, "", "messages", 450)

    def recipient(self, envelope: Envelope, recipient: Recipient) -> Reply | None:
        """Count one recipient."""
        return self._count(envelope, "_recipients", "recipients", 452)

    def _count(self, envelope: Envelope, suffix: str, what: str, code: int) -> Reply | None:
        client = envelope.client
        keys = {"client": self._network(client), "sender": _sender(envelope), "user": client.user}
        now = self._now()
        asked: list[tuple[Meter, str]] = []
        if keys["client"] is None:
            return None
        for who, key in keys.items():
            meter = self._meters.get(who + suffix)
            if meter is None or not key:
                continue
            wait = meter.wait(key, now)
            if wait:
                said = _KEEPS.sub("?", key)
                text = f"Too many {what} from {said}, try again in {math.ceil(wait)} seconds"
                return Reply(code, text, "4.7.1")
            asked.append((meter, key))
        for meter, key in asked:
            meter.take(key, now)
        return None

    def _network(self, client: Client) -> str | None:
        """The key of a client: "" if it has no IP address, None if it is exempt."""
        address = ip_or_none(client.address)
        if address is None:
            return ""
        if any(address in network for network in self._exempt):
            return None
        return customer_of(address)


def _sender(envelope: Envelope) -> str:
    """The key of a sender; the null reverse-path has none."""
    return "" if envelope.sender is None else str(envelope.sender).lower()


def _networks(texts: Iterable[str]) -> Iterable[IpNetwork]:
    for text in texts:
        try:
            yield parse_network(text)
        except ValueError as wrong:
            raise SettingError("exempt", str(wrong)) from wrong


plugin = Plugin("limits", IFilter, Settings, RateLimits)
