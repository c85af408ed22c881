"""What is known after a TLS handshake: its facts, and what ties a login to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL, crypto
from OpenSSL._util import lib as _openssl

from ..message import Tls
from ..sasl import (
    EXPORTER_LABEL,
    EXPORTER_LENGTH,
    TLS_EXPORTER,
    TLS_SERVER_END_POINT,
    TLS_UNIQUE,
    server_end_point,
)

_DISTRUSTED = "the client's certificate is not one of the listener's authorities'"


class TlsChannel:
    """A TLS connection as a login in it needs it. Each value is computed only when it is asked for.

    `connection` is OpenSSL's, after its handshake; `is_server` says which side this host is.
    """

    __slots__ = ("_bindings", "_connection", "_is_server")

    def __init__(self, connection: SSL.Connection, *, is_server: bool) -> None:
        self._connection = connection
        self._is_server = is_server
        self._bindings: Mapping[str, bytes] | None = None

    @property
    def bindings(self) -> Mapping[str, bytes]:
        """The channel bindings that both sides know, by type (`mailframe.sasl.BINDING_TYPES`)."""
        if self._bindings is None:
            found = {
                TLS_UNIQUE: _client_finished(self._connection, self._is_server),
                TLS_EXPORTER: _exporter(self._connection),
                TLS_SERVER_END_POINT: _end_point(self._server_certificate()),
            }
            self._bindings = {kind: octets for kind, octets in found.items() if octets}
        return self._bindings

    @property
    def client_certificate(self) -> bytes | None:
        """The client's certificate in DER, if it showed one that we trust, else None."""
        if not self._is_server or self._connection.get_app_data() is _DISTRUSTED:
            return None
        shown = self._connection.get_peer_certificate()
        return None if shown is None else shown.to_cryptography().public_bytes(Encoding.DER)

    @property
    def server_chain(self) -> tuple[bytes, ...]:
        """The certificates that the server showed us, in DER, its own first; () on its side."""
        shown = None if self._is_server else self._connection.get_peer_cert_chain()
        return tuple(each.to_cryptography().public_bytes(Encoding.DER) for each in shown or ())

    def _server_certificate(self) -> x509.Certificate | None:
        connection: Any = self._connection
        ours = self._is_server
        found = connection.get_certificate() if ours else connection.get_peer_certificate()
        return None if found is None else found.to_cryptography()


def tls_facts(connection: SSL.Connection) -> Tls:
    """The version, the cipher, and the name that was asked for."""
    name = connection.get_servername()
    return Tls(
        connection.get_protocol_version_name(),
        connection.get_cipher_name() or "",
        name.decode("ascii", "replace") if name else "",
    )


def ask_for_certificate(context: SSL.Context, authorities: list[x509.Certificate]) -> None:
    """Have servers with this context ask for a certificate of these authorities.

    A client need not show one. One that cannot be trusted counts as none, and mail from that client
    is still accepted.
    """
    store = context.get_cert_store()
    assert store is not None
    for authority in authorities:
        store.add_cert(crypto.X509.from_cryptography(authority))
        context.add_client_ca(authority)
    context.set_verify(SSL.VERIFY_PEER, _look_at)


def _look_at(
    connection: SSL.Connection, certificate: object, error: int, depth: int, fine: int
) -> bool:
    """Called by OpenSSL when one certificate of the client's chain has been verified."""
    if not fine:
        connection.set_app_data(_DISTRUSTED)
    return True


def _is_unique(connection: SSL.Connection) -> bool:
    """False if another connection could have the same master secret (RFC 7627 section 1)."""
    if connection.get_protocol_version() >= SSL.TLS1_3_VERSION:
        return True
    ask: Any = getattr(_openssl, "SSL_get_extms_support", None)
    return ask is not None and ask(connection._ssl) == 1


def _exporter(connection: SSL.Connection) -> bytes | None:
    """RFC 9266 section 2."""
    if not _is_unique(connection):
        return None
    return connection.export_keying_material(EXPORTER_LABEL, EXPORTER_LENGTH, b"")


def _client_finished(connection: SSL.Connection, is_server: bool) -> bytes | None:
    """RFC 5929 section 3.

    No session is resumed or renegotiated, so the client's Finished is the first.
    """
    if connection.get_protocol_version() >= SSL.TLS1_3_VERSION or not _is_unique(connection):
        return None
    return connection.get_peer_finished() if is_server else connection.get_finished()


def _end_point(certificate: x509.Certificate | None) -> bytes | None:
    """RFC 5929 section 4; None if the certificate's signature has no hash (Ed25519)."""
    algorithm = None if certificate is None else certificate.signature_hash_algorithm
    if certificate is None or algorithm is None:
        return None
    return server_end_point(certificate.public_bytes(Encoding.DER), algorithm.name)
