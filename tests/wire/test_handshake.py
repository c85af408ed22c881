"""What ties a login to its TLS connection: bindings of both sides, and certificates of clients."""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from OpenSSL import SSL

from mailframe.sasl import TLS_EXPORTER, TLS_SERVER_END_POINT, TLS_UNIQUE
from mailframe.settings import TlsSettings
from mailframe.testing.certificates import Issued, make_authority
from mailframe.testing.tls_pair import shaken
from mailframe.wire.certificates import Certificates
from mailframe.wire.handshake import TlsChannel, tls_facts

OURS = make_authority("ours")
CLIENTS = make_authority("clients")
STRANGERS = make_authority("strangers")


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    """For two names, and clients of one authority."""
    for name in ("mx.example.org", "mail.example.net"):
        OURS.issue(name).write_live(tmp_path / "live")
    (tmp_path / "clients.pem").write_bytes(CLIENTS.pem)
    ca = tmp_path / "clients.pem"
    return Certificates(TlsSettings(tmp_path / "live"), "mx.example.org", client_cas=[ca])


def der(certificate: Issued) -> bytes:
    return x509.load_pem_x509_certificate(certificate.chain).public_bytes(Encoding.DER)


def connected(
    certificates: Certificates,
    client_ca: Path | None = None,
    shows: Issued | None = None,
    name: str = "mx.example.org",
    version: int = 0,
) -> tuple[TlsChannel, TlsChannel]:
    """A server's channel and that of a client that shows this certificate."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    if version:
        context.set_max_proto_version(version)
    if shows is not None:
        own, *chain = x509.load_pem_x509_certificates(shows.chain)
        context.use_certificate(own)
        context.use_privatekey(load_pem_private_key(shows.key, None))  # type: ignore[arg-type]
        for each in chain:
            context.add_extra_chain_cert(each)
    client = SSL.Connection(context, None)
    client.set_tlsext_host_name(name.encode())
    server = certificates.server_options(client_ca).serverConnectionForTLS(None)
    return shaken(server, client)


@pytest.mark.parametrize("name", ["mx.example.org", "mail.example.net"])
@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
def test_both_sides_know_the_same_bindings(
    certificates: Certificates, tmp_path: Path, name: str, version: int
) -> None:
    """RFC 9266, and RFC 5929: the end point is the certificate which was chosen by SNI."""
    server, client = connected(certificates, name=name, version=version)
    assert server.bindings == client.bindings
    of_old = {TLS_UNIQUE} if version == SSL.TLS1_2_VERSION else set()
    assert set(server.bindings) == {TLS_EXPORTER, TLS_SERVER_END_POINT, *of_old}
    assert len(server.bindings[TLS_EXPORTER]) == 32
    pem = (tmp_path / "live" / name / "fullchain.pem").read_text()
    own = ssl.PEM_cert_to_DER_cert(pem[: pem.index("END CERTIFICATE")] + "END CERTIFICATE-----\n")
    assert server.bindings[TLS_SERVER_END_POINT] == hashlib.sha256(own).digest()


def test_each_connection_has_an_exporter_of_its_own(certificates: Certificates) -> None:
    """What was said in one connection proves nothing in another."""
    one, other = (connected(certificates)[0].bindings for _ in range(2))
    assert one[TLS_EXPORTER] != other[TLS_EXPORTER]
    assert one[TLS_SERVER_END_POINT] == other[TLS_SERVER_END_POINT]


def test_without_the_extended_master_secret_no_connection_is_unique(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 7627 section 1: in TLS 1.2 a man in the middle can have two that look the same."""
    from mailframe.wire import handshake

    server, client = connected(certificates, version=SSL.TLS1_2_VERSION)
    monkeypatch.setattr(handshake._openssl, "SSL_get_extms_support", lambda _: 0)
    assert set(server.bindings) == set(client.bindings) == {TLS_SERVER_END_POINT}


def test_the_facts(certificates: Certificates) -> None:
    """What the trace tells of a session."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    server, client = (
        certificates.server_options().serverConnectionForTLS(None),
        SSL.Connection(context, None),
    )
    shaken(server, client)
    facts = tls_facts(server)
    assert (facts.version, facts.server_name) == ("TLSv1.3", "") and facts.cipher


@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
def test_a_client_shows_its_certificate(
    certificates: Certificates, tmp_path: Path, version: int
) -> None:
    """It is known if the listener asks for it, whatever name the client asked for."""
    ca, alice = tmp_path / "clients.pem", CLIENTS.issue("alice.example")
    for name in ("mx.example.org", "mail.example.net", "unknown.example"):
        server, client = connected(certificates, ca, alice, name, version)
        assert server.client_certificate == der(alice)
        assert client.client_certificate is None
    server, _ = connected(certificates, None, alice, version=version)
    assert server.client_certificate is None
    server, _ = connected(certificates, ca, None, version=version)
    assert server.client_certificate is None


@pytest.mark.parametrize(
    "shown",
    [
        STRANGERS.issue("alice.example"),
        CLIENTS.issue("alice.example", days=-1),
        OURS.issue("alice.example"),
    ],
    ids=["of another authority", "out of date", "of our own authority"],
)
def test_what_cannot_be_trusted_counts_as_none(
    certificates: Certificates, tmp_path: Path, shown: Issued
) -> None:
    """The session goes on: a server that sends mail with any certificate is not turned away."""
    server, _ = connected(certificates, tmp_path / "clients.pem", shown)
    assert server.client_certificate is None
    assert server.bindings


def test_authorities_are_read_again(certificates: Certificates, tmp_path: Path) -> None:
    """As the certificates are: a new file counts, a broken one does not."""
    ca, stranger = tmp_path / "clients.pem", STRANGERS.issue("eve.example")
    assert connected(certificates, ca, stranger)[0].client_certificate is None
    ca.write_bytes(STRANGERS.pem)
    assert certificates.reload()
    assert connected(certificates, ca, stranger)[0].client_certificate == der(stranger)
    ca.write_bytes(b"broken")
    assert not certificates.reload()
    assert connected(certificates, ca, stranger)[0].client_certificate == der(stranger)


def test_authorities_that_are_not_there(tmp_path: Path) -> None:
    """A listener that asks for certificates of nobody's is a mistake, found at the start."""
    OURS.issue("mx.example.org").write_live(tmp_path)
    settings: Any = TlsSettings(tmp_path)
    with pytest.raises(OSError):
        Certificates(settings, "mx.example.org", client_cas=[tmp_path / "missing.pem"])
    (tmp_path / "empty.pem").touch()
    with pytest.raises(ValueError, match=r"empty\.pem"):
        Certificates(settings, "mx.example.org", client_cas=[tmp_path / "empty.pem"])
    with pytest.raises(KeyError):
        Certificates(settings, "mx.example.org").server_options(tmp_path / "clients.pem")
