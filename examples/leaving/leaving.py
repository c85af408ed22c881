"""What is asked when mail leaves: a departure hook and a TLS policy, as small as they come."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from zope.interface import implementer

from mailframe.interfaces import IDeparture, ITlsPolicy
from mailframe.message import Departure, Message, Route, TlsDemand
from mailframe.plugin import Site, setting
from mailframe.smtp.address import Mailbox


@implementer(IDeparture)
class Verp:
    """Each recipient's copy has a sender of its own, so that a bounce says whom it is about.

    bounces@lists.example.org becomes bounces+bob=elsewhere.example@lists.example.org.
    """

    @dataclass(frozen=True)
    class Settings:
        """What can be set."""

        domain: str = setting("whose senders get the recipient put into them")

    def __init__(self, settings: Any, site: Site) -> None:
        self.domain = settings.domain.lower()

    def depart(self, message: Message, routes: Sequence[Route]) -> Departure | None:
        """A sender for each recipient, for mail of that domain."""
        sender = message.envelope.sender
        if sender is None or sender.domain != self.domain:
            return None
        senders = {}
        for route in routes:
            recipient = route.recipient
            if recipient is not None and recipient.address.is_ascii:
                whom = f"{recipient.address.local}={recipient.address.domain}"
                senders[recipient] = Mailbox(f"{sender.local}+{whom}", sender.domain)
        return Departure(headers=("Precedence: list",), senders=senders)


@dataclass(frozen=True)
class Pinned:
    """The SHA-256 of the public keys (in DER) that the exchange may have; one must be its own."""

    keys: frozenset[str]

    def judge(self, host: str, chain: Sequence[bytes]) -> str:
        """See CertificateJudge."""
        if not chain:
            return "it showed none"
        key = x509.load_der_x509_certificate(chain[0]).public_key()
        der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        known = hashlib.sha256(der).hexdigest() in self.keys
        return "" if known else "its key is none of those that are pinned"


@implementer(ITlsPolicy)
class Partners:
    """TLS is demanded of some domains, and their exchanges' keys are known."""

    @dataclass(frozen=True)
    class Settings:
        """What can be set."""

        keys: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def __init__(self, settings: Any, site: Site) -> None:
        self.partners = {
            domain: Pinned(frozenset(each.lower() for each in keys))
            for domain, keys in settings.keys.items()
        }

    def demand(self, domain: str, exchange: str) -> TlsDemand | None:
        """TLS with one of these keys; nothing for other domains."""
        pinned = self.partners.get(domain)
        return None if pinned is None else TlsDemand("require", pinned, "pinned")
