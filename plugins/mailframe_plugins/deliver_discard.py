"""[deliver.nowhere] plugin = "discard"

Accepts every message and drops it; observers are told the outcome like any other. It is for
addresses whose mail nobody reads, and for load tests.
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
    """The settings."""

    text: str = setting("the text of the outcome for each recipient", "Discarded")


@implementer(IDeliveryAgent)
class Discard:
    """Drops messages."""

    def __init__(self, settings: Settings, site: Site) -> None:
        try:
            self._reply = Reply(250, settings.text, "2.0.0")
        except ValueError as wrong:
            raise SettingError("text", str(wrong)) from wrong

    def deliver(self, message: Message, routes: Sequence[Route]) -> Iterable[Outcome]:
        """DELIVERED for every recipient."""
        recipients = [route.recipient for route in routes]
        return [Outcome(to, Status.DELIVERED, self._reply) for to in recipients if to is not None]


plugin = Plugin("discard", IDeliveryAgent, Settings, Discard)
