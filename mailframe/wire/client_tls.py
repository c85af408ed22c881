"""TLS as a client: which servers are verified, and which are accepted as they are."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL, crypto
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    optionsForClientTLS,
    trustRootFromCertificates,
)
from zope.interface import implementer

from ..message import TlsUse
from ..names.domains import to_ascii

_KEPT = 200  # contexts for verified names; each takes tens of kilobytes


@implementer(IOpenSSLClientConnectionCreator)
class _AnyCertificate:
    """Encrypts to any server (RFC 7435), and asks for the certificate of `name`."""

    def __init__(self, context: SSL.Context, name: str) -> None:
        self._context = context
        self._name = name

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        connection = SSL.Connection(self._context, None)
        if _is_name(self._name):
            connection.set_tlsext_host_name(self._name.encode("ascii"))
        return connection


class ClientTls:
    """What `transport.startTLS` needs, by host and by what is demanded.

    `authorities` is a PEM file of the certificate authorities to trust, None for the platform's.
    `certificate` is a PEM file with a key and its chain, to show to servers that ask for one.
    Raises ValueError or OSError if a file cannot be used.
    """

    def __init__(self, authorities: Path | None = None, certificate: Path | None = None) -> None:
        self._trust: Any = read_authorities(authorities) if authorities else None
        self._own: dict[str, Any] = _read_own(certificate) if certificate else {}
        self._any: SSL.Context = CertificateOptions(verify=False, **self._own).getContext()
        self._verifying: OrderedDict[str, IOpenSSLClientConnectionCreator] = OrderedDict()

    @property
    def shows_certificate(self) -> bool:
        """True if there is a certificate to show to servers that ask for one."""
        return bool(self._own)

    def options(self, host: str, use: TlsUse) -> IOpenSSLClientConnectionCreator:
        """For "verify" and "implicit" the certificate must name `host` (RFC 6125, RFC 9525).

        `host` is a name or an IP address. ValueError if it can be neither.
        """
        name = to_ascii(host)
        if use not in ("verify", "implicit"):
            return _AnyCertificate(self._any, name)
        options = self._verifying.pop(name, None)
        if options is None:
            options = optionsForClientTLS(name, self._trust, extraCertificateOptions=self._own)
        self._verifying[name] = options
        if len(self._verifying) > _KEPT:
            self._verifying.popitem(last=False)
        return options


def _is_name(host: str) -> bool:
    """False for an IP address, which SNI cannot carry (RFC 6066 section 3)."""
    return ":" not in host and not host.rpartition(".")[2].isdigit()


def read_authorities(file: Path) -> Any:
    """The authorities in a PEM file, for Twisted's `trustRoot`. OSError or ValueError."""
    marker = b"-----BEGIN CERTIFICATE-----"
    _, *found = file.read_bytes().split(marker)
    if not found:
        raise ValueError(f"{file} holds no certificate in PEM")
    try:
        certificates = [Certificate.loadPEM(marker + each) for each in found]
    except crypto.Error as wrong:
        raise ValueError(f"{file} holds a damaged certificate") from wrong
    return trustRootFromCertificates(certificates)  # type: ignore[no-untyped-call]


def _read_own(file: Path) -> dict[str, Any]:
    """A key and its chain, as CertificateOptions takes them."""
    pem = file.read_bytes()
    try:
        own, *chain = x509.load_pem_x509_certificates(pem)
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as wrong:
        raise ValueError(f"{file} holds no key and certificate in PEM") from wrong
    options: dict[str, Any] = {
        "privateKey": crypto.PKey.from_cryptography_key(key),  # type: ignore[arg-type]
        "certificate": crypto.X509.from_cryptography(own),
        "extraCertChain": [crypto.X509.from_cryptography(each) for each in chain],
    }
    try:
        CertificateOptions(**options).getContext()
    except SSL.Error as wrong:
        raise ValueError(f"{file}: the key does not belong to the certificate") from wrong
    return options
