"""The example of what is asked when mail leaves keeps the contracts, and does what it says."""

from __future__ import annotations

import hashlib
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from example_files import load
from twisted.trial.unittest import SynchronousTestCase

from mailframe.message import Departure, Route
from mailframe.smtp.address import Mailbox
from mailframe.testing.certificates import Issued, make_authority
from mailframe.testing.leaving import DepartureContract, TlsPolicyContract
from mailframe.testing.values import envelope, message, recipient, site

LEAVING: Any = load("leaving/leaving.py")


class TestVerp(DepartureContract, SynchronousTestCase):
    def make(self) -> Any:
        return LEAVING.Verp(LEAVING.Verp.Settings("client.example"), site())

    def test_each_has_a_sender_of_its_own(self) -> None:
        """Of the list's mail, not of anybody else's."""
        bob = recipient("bob@x.example")
        answer = self.make().depart(message(), [Route("smtp", bob)])
        assert isinstance(answer, Departure)
        assert answer.senders == {bob: Mailbox("alice+bob=x.example", "client.example")}
        for sender in (None, "a@elsewhere.example"):
            assert (
                self.make().depart(message(envelope=envelope(sender)), [Route("smtp", bob)]) is None
            )


class TestPartners(TlsPolicyContract, SynchronousTestCase):
    def make(self, *keys: str) -> Any:
        settings = LEAVING.Partners.Settings({"elsewhere.example": keys})
        return LEAVING.Partners(settings, site())

    def test_only_pinned_keys_will_do(self) -> None:
        """The exchange's own, whatever else it shows."""
        authority = make_authority()
        pinned, other = authority.issue("mx.example"), authority.issue("mx.example")
        demand = self.make(_key(pinned).upper()).demand("elsewhere.example", "mx.example")
        assert demand.use == "require"
        assert demand.certificates.judge("mx.example", _chain(pinned)) == ""
        assert "pinned" in demand.certificates.judge("mx.example", _chain(other))
        assert demand.certificates.judge("mx.example", ())
        assert self.make().demand("x.example", "mx.example") is None


def _chain(issued: Issued) -> list[bytes]:
    found = x509.load_pem_x509_certificates(issued.chain)
    return [each.public_bytes(Encoding.DER) for each in found]


def _key(issued: Issued) -> str:
    key = x509.load_pem_x509_certificates(issued.chain)[0].public_key()
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()
