"""A filter of your own: it asks each sender to try again, once."""

from typing import Any

from mailframe.message import Envelope, Recipient
from mailframe.plugin import Filter, Site
from mailframe.smtp.reply import Reply

LATER = Reply(450, "Greylisted, please come again", "4.7.1")


class FirstTimeNo(Filter):
    """Defers the first message from each sender to the address `only`; later ones are accepted."""

    def __init__(self, settings: dict[str, Any], site: Site) -> None:
        self._only = settings["only"]
        self._seen: set[str] = set()

    def recipient(self, envelope: Envelope, recipient: Recipient) -> Reply | None:
        """450 if this sender is new here, None from then on."""
        sender = str(envelope.sender)
        if str(recipient.address) != self._only or sender in self._seen:
            return None
        self._seen.add(sender)
        return LATER
