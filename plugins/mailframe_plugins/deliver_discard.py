"""[deliver.nowhere] plugin = "discard"

Takes every message and forgets it; the outcome is told to observers as any other. For
addresses that nobody reads, and for load tests.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from zope.interface import implementer

from mailframe.interfaces import IDeliveryAgent
from mailframe.message import Message, Outcome, Route, Status
from mailframe.plugin import Plugin, SettingError, Site, setting
from mailframe.smtp.reply import Reply


@dataclass(frozen=True)
class Settings:
    """What can be set."""

    text: str = setting("the text of the outcome for each recipient", "Discarded")


@implementer(IDeliveryAgent)
class Discard:
    """Delivers to nowhere."""

    def __init__(self, settings: Settings, site: Site) -> None:
        try:
            self._reply = Reply(250, settings.text, "2.0.0")
        except ValueError as wrong:
            raise SettingError("text", str(wrong)) from wrong

    def deliver(self, message: Message, routes: Sequence[Route]) -> Iterable[Outcome]:
        """Every recipient has been delivered to."""
        recipients = [route.recipient for route in routes]
        return [Outcome(to, Status.DELIVERED, self._reply) for to in recipients if to is not None]


plugin = Plugin("discard", IDeliveryAgent, Settings, Discard)
