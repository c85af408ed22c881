"""`[[auth]] plugin = "certificate"`: users by the names and fingerprints of certificates."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from twisted.trial.unittest import SynchronousTestCase

from mailframe.plugin import SettingError
from mailframe.sasl import CertificateWanted, Identity
from mailframe.testing.certificates import make_authority
from mailframe.testing.plugins import CertificateCheckerContract
from mailframe.testing.values import site
from mailframe_plugins.auth_certificate import CertificateUsers, Settings

AUTHORITY = make_authority()


def shown(*names: x509.GeneralName, common_name: str = "Alice", organisation: str = "") -> bytes:
    """A certificate in DER."""
    subject = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else []
    if organisation:
        subject.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation))
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(subject))
        .issuer_name(AUTHORITY.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), False)
    return builder.sign(AUTHORITY.key, hashes.SHA256()).public_bytes(Encoding.DER)


def asked(certificate: bytes, authzid: str = "", **settings: Any) -> Identity | None:
    plugin = CertificateUsers(Settings(**settings), site())
    return plugin.check_certificate(CertificateWanted(authzid), certificate)


class TestContract(CertificateCheckerContract, SynchronousTestCase):
    good = (AUTHORITY.issue("scanner.example.org"), "scanner@example.org")

    def make(self) -> CertificateUsers:
        users = {"dns:scanner.example.org": "scanner@example.org"}
        return CertificateUsers(Settings(users=users), site())


def test_a_name_in_the_certificate_is_the_user() -> None:
    """Of the kinds that the operator trusts, and no other."""
    certificate = shown(x509.RFC822Name("Alice@example.org"), x509.DNSName("host.example.org"))
    assert asked(certificate, names=("email",)) == Identity("alice@example.org")
    assert asked(certificate, names=("dns",)) == Identity("host.example.org")
    assert asked(certificate, names=("common_name",)) == Identity("alice")
    assert asked(shown(), names=("email", "dns")) is None


def test_a_table_of_users() -> None:
    """By fingerprint, as OpenSSL writes it, too, or by a name of any kind."""
    certificate = shown(x509.DNSName("Scanner.example.org"), organisation="Example")
    digest = hashlib.sha256(certificate).hexdigest().upper()
    colons = ":".join(digest[at : at + 2] for at in range(0, 64, 2))
    for key in (
        f"sha256:{digest}",
        f"SHA256:{colons}",
        "dns:scanner.EXAMPLE.org",
        "common_name:alice",
        "subject:O=Example,CN=Alice",
    ):
        found = asked(certificate, users={key: "scan@example.org"})
        assert found == Identity("scan@example.org"), key
    assert asked(shown(common_name="Eve"), users={"common_name:alice": "alice"}) is None


def test_the_table_counts_for_more_than_the_name() -> None:
    """What is mapped is not taken as it is."""
    certificate = shown(x509.RFC822Name("a@example.net"))
    users = {"email:a@example.net": "alice@example.org"}
    assert asked(certificate, users=users, names=("email",)) == Identity("alice@example.org")
    assert asked(certificate, "a@example.net", users=users, names=("email",)) == Identity(
        "alice@example.org"
    )


def test_a_certificate_of_several_users() -> None:
    """The client says which; nobody else than those in it."""
    certificate = shown(x509.RFC822Name("a@example.org"), x509.RFC822Name("b@example.org"))
    assert asked(certificate, names=("email",)) == Identity("a@example.org")
    b = asked(certificate, "B@example.org", names=("email",))
    assert b == Identity("b@example.org", acts_as="b@example.org")
    assert asked(certificate, "c@example.org", names=("email",)) == Identity("a@example.org")


def test_wildcards_are_nobody() -> None:
    """A name that stands for many is no user's."""
    assert asked(shown(x509.DNSName("*.example.org")), names=("dns",)) is None


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({}, "names"),
        ({"users": {"alice": "alice"}}, "users"),
        ({"users": {"mail:alice": "alice"}}, "users"),
        ({"users": {"email:": "alice"}}, "users"),
        ({"users": {"sha256:00": "alice"}}, "users"),
    ],
)
def test_what_cannot_be_is_refused(settings: Any, key: str) -> None:
    """At the start, with the key's name."""
    with pytest.raises(SettingError) as caught:
        CertificateUsers(Settings(**settings), site())
    assert caught.value.key == key
