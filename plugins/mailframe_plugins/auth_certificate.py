"""[[auth]] plugin = "certificate", names = ["email"]

Clients that show a certificate log in by it, with EXTERNAL. The listener's `client_ca` names the
authorities whose certificates count. The user is a name in the certificate, or the one that the
table gives for it:

    [auth.users]
    "sha256:0f1e…" = "alice@example.org"      # the certificate itself, by its fingerprint
    "email:a@example.net" = "alice@example.org"
    "dns:scanner.example.org" = "scanner@example.org"
    "subject:CN=scanner,O=Example" = "scanner@example.org"    # as RFC 4514 writes it
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from zope.interface import implementer

from mailframe.interfaces import ICertificateChecker
from mailframe.plugin import Plugin, SettingError, Site, setting
from mailframe.sasl import CertificateWanted, Identity

if TYPE_CHECKING:
    from cryptography import x509

_KINDS = ("sha256", "subject", "email", "dns", "common_name")
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Settings:
    """The settings."""

    names: tuple[Literal["email", "dns", "common_name"], ...] = setting(
        "the kinds of names in a certificate that are user names as they stand", ()
    )
    users: Mapping[str, str] = setting(
        "users by a fingerprint (sha256:…) or a name (email:…, dns:…, common_name:…, subject:…)",
        factory=dict,
    )


@implementer(ICertificateChecker)
class CertificateUsers:
    """Finds the user that a certificate belongs to."""

    def __init__(self, settings: Settings, site: Site) -> None:
        if not settings.names and not settings.users:
            raise SettingError("names", "nobody could log in: names or users are wanted")
        self._names = frozenset(settings.names)
        self._users = {_key(written): user for written, user in settings.users.items()}

    def check_certificate(self, wanted: CertificateWanted, certificate: bytes) -> Identity | None:
        """The first user of the certificate, or the one of several that the client asks for."""
        users = list(dict.fromkeys(self._users_of(certificate)))
        asked = wanted.authzid.casefold()
        for user in users:
            if user.casefold() == asked:
                return Identity(user, acts_as=user)
        return Identity(users[0]) if users else None

    def _users_of(self, der: bytes) -> Iterator[str]:
        from cryptography import x509

        certificate = x509.load_der_x509_certificate(der)
        known = self._users.get(f"sha256:{hashlib.sha256(der).hexdigest()}")
        if known:
            yield known
        for kind, name in _names_in(certificate):
            known = self._users.get(f"{kind}:{name.casefold()}")
            if known:
                yield known
            elif kind in self._names and name:
                yield name.lower()


def _names_in(certificate: x509.Certificate) -> Iterator[tuple[str, str]]:
    """The names in a certificate with their kinds; wildcards are left out."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    yield "subject", certificate.subject.rfc4514_string()
    try:
        others = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        pass
    else:
        yield from (("email", name) for name in others.get_values_for_type(x509.RFC822Name))
        names = others.get_values_for_type(x509.DNSName)
        yield from (("dns", name) for name in names if "*" not in name)
    for attribute in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME):
        if isinstance(attribute.value, str):
            yield "common_name", attribute.value


def _key(written: str) -> str:
    """The name of a certificate in the table, in one spelling. Raises SettingError."""
    kind, colon, name = written.partition(":")
    kind, name = kind.strip().lower(), name.strip().casefold()
    if not colon or kind not in _KINDS or not name:
        raise SettingError("users", f"{written!r} is none of {', '.join(_KINDS)} with a name")
    if kind == "sha256":
        name = name.replace(":", "")
        if not _FINGERPRINT.fullmatch(name):
            raise SettingError("users", f"{written!r}: SHA-256 has 64 hexadecimal digits")
    return f"{kind}:{name}"


plugin = Plugin("certificate", ICertificateChecker, Settings, CertificateUsers)
