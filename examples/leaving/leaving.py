"""A small departure hook and a small TLS policy, both for mail that leaves this host."""

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
    """Gives each recipient's copy its own sender, so that a bounce tells which recipient it is
    about.

    bounces@lists.example.org becomes bounces+bob=elsewhere.example@lists.example.org.
    """

    @dataclass(frozen=True)
    class Settings:
        """The settings."""

        domain: str = setting("whose senders get the recipient put into them")

    def __init__(self, settings: Any, site: Site) -> None:
        self.domain = settings.domain.lower()

    def depart(self, message: Message, routes: Sequence[Route]) -> Departure | None:
        """A sender for each recipient, for mail from that domain."""
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
    """The SHA-256 of the public keys (in DER) of which the exchange must have one."""

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
    """Demands TLS for some domains, with exchanges whose keys are known."""

    @dataclass(frozen=True)
    class Settings:
        """The settings."""

        keys: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def __init__(self, settings: Any, site: Site) -> None:
        self.partners = {
            domain: Pinned(frozenset(each.lower() for each in keys))
            for domain, keys in settings.keys.items()
        }

    def demand(self, domain: str, exchange: str) -> TlsDemand | None:
        """TLS with one of these keys; no demand for other domains."""
        pinned = self.partners.get(domain)
        return None if pinned is None else TlsDemand("require", pinned, "pinned")
