"""Certificates for tests: an authority, and certificates that it issues.

    authority = make_authority()
    authority.issue("mx.example", "*.mx.example").write_live(folder)

The layout is that of letsencrypt: NAME/fullchain.pem and NAME/privkey.pem. The keys are elliptic
ones, which are made in a millisecond. Never trust these outside of tests and demonstrations.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

_SKEW = timedelta(days=1)  # difference between clocks


@dataclass(frozen=True)
class Issued:
    """One certificate: `chain` (its own, then the authority's) and `key`, in PEM."""

    name: str
    chain: bytes
    key: bytes

    def write_live(self, live: Path) -> Path:
        """Write `live`/NAME/fullchain.pem and privkey.pem; returns the folder of the name.

        Each file is replaced in one step, as in a renewal.
        """
        folder = live / self.name
        folder.mkdir(parents=True, exist_ok=True)
        _replace(folder / "fullchain.pem", self.chain)
        _replace(folder / "privkey.pem", self.key)
        return folder

    def write_pem(self, path: Path) -> Path:
        """Write key and chain into one file."""
        _replace(path, self.key + self.chain)
        return path


@dataclass(frozen=True)
class Authority:
    """A certificate authority; give `pem` to clients that should trust it."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        """The authority's own certificate."""
        return self.certificate.public_bytes(Encoding.PEM)

    def issue(self, *names: str, days: float = 30) -> Issued:
        """A certificate for these DNS names and IP addresses; the first one is its subject.

        `days` is how long it is valid; a negative number makes one that expired so long ago.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(_subject(names[0]))
            .issuer_name(self.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + min(timedelta(days=days), timedelta()) - _SKEW)
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.SubjectAlternativeName([_general(n) for n in names]), False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
            .add_extension(_authority_key(self.key), False)
            .sign(self.key, hashes.SHA256())
        )
        return Issued(names[0], certificate.public_bytes(Encoding.PEM) + self.pem, _pem(key))


def make_authority(name: str = "mailframe test authority") -> Authority:
    """A new authority, which nobody trusts yet."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_subject(name))
        .issuer_name(_subject(name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(_SIGNS_CERTIFICATES, True)
        .sign(key, hashes.SHA256())
    )
    return Authority(certificate, key)


#: RFC 5280 section 4.2.1.3; strict verification (as in Python 3.13) wants it of an authority.
_SIGNS_CERTIFICATES = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


def _authority_key(key: ec.EllipticCurvePrivateKey) -> x509.AuthorityKeyIdentifier:
    """The key that signed a certificate (RFC 5280 section 4.2.1.1)."""
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _replace(path: Path, octets: bytes) -> None:
    fresh = path.with_name(f".{path.name}.new")
    fresh.touch(mode=0o600)
    fresh.write_bytes(octets)
    fresh.replace(path)
