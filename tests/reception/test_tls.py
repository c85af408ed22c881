"""Certificates by name, renewed while the host runs, and real handshakes in memory."""

import os
import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from OpenSSL import SSL
from twisted.logger import LogLevel, globalLogPublisher

from mailframe.settings import TlsSettings
from mailframe.testing.certificates import make_authority
from mailframe.wire.certificates import Certificates

AUTHORITY = make_authority()
EXAMPLE = AUTHORITY.issue("mx.example.org")
OTHER = AUTHORITY.issue("mail.example.net", "*.example.net")


class Now:
    """Seconds, moved by hand."""

    def __init__(self):
        self.seconds = 0.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def live(tmp_path):
    EXAMPLE.write_live(tmp_path)
    OTHER.write_live(tmp_path)
    (tmp_path / "README").write_text("letsencrypt puts one here")
    return tmp_path


@pytest.fixture
def errors():
    events = []

    def observer(event):
        if event["log_level"] >= LogLevel.error:
            events.append(event["log_format"].format(**event))

    globalLogPublisher.addObserver(observer)
    yield events
    globalLogPublisher.removeObserver(observer)


def shake(certificates, name=None, configure=lambda context: None):
    """A handshake in memory; the server's names that the client saw, and its connection."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    configure(context)
    client = SSL.Connection(context, None)
    client.set_connect_state()
    if name is not None:
        client.set_tlsext_host_name(name.encode())
    server = certificates.server_options().serverConnectionForTLS(None)
    server.set_accept_state()
    for _ in range(6):
        for one, other in ((client, server), (server, client)):
            try:
                one.do_handshake()
            except SSL.WantReadError:
                pass
            try:
                other.bio_write(one.bio_read(65536))
            except SSL.WantReadError:
                pass
    subject = client.get_peer_certificate(as_cryptography=True).subject
    return subject.rfc4514_string().removeprefix("CN="), client


@pytest.mark.parametrize(
    ("asked", "got"),
    [
        ("mx.example.org", "mx.example.org"),
        ("MX.Example.ORG", "mx.example.org"),
        ("mail.example.net", "mail.example.net"),
        ("imap.example.net", "mail.example.net"),
        ("a.b.example.net", "mx.example.org"),
        ("unknown.example", "mx.example.org"),
        (None, "mx.example.org"),
    ],
)
def test_the_certificate_is_chosen_by_name(live, asked, got):
    """RFC 6066 section 3: exact, by wildcard (one label), or the hostname's."""
    certificates = Certificates(TlsSettings(live), "mx.example.org")
    assert shake(certificates, asked)[0] == got


def test_the_default_can_be_set(live):
    """For clients without SNI."""
    certificates = Certificates(TlsSettings(live, default="mail.example.net"), "mx.example.org")
    assert shake(certificates)[0] == "mail.example.net"
    assert certificates.names == ("*.example.net", "mail.example.net", "mx.example.org")


def test_a_single_pem_file_serves(tmp_path):
    """Key and chain in one file."""
    path = EXAMPLE.write_pem(tmp_path / "host.pem")
    certificates = Certificates(TlsSettings(path), "elsewhere.example")
    assert shake(certificates)[0] == "mx.example.org"
    assert certificates.server_options().getContext() is certificates.context()


def test_the_order_in_a_single_file_does_not_matter(tmp_path):
    """The key may stand behind the chain."""
    (tmp_path / "host.pem").write_bytes(EXAMPLE.chain + EXAMPLE.key)
    certificates = Certificates(TlsSettings(tmp_path / "host.pem"), "mx.example.org")
    assert certificates.names == ("mx.example.org",)


def test_new_files_are_taken_without_a_restart(live):
    """Looked at once a second at most, at new handshakes."""
    now = Now()
    certificates = Certificates(TlsSettings(live), "mx.example.org", now)
    AUTHORITY.issue("mx.example.org", "smtp.example.org").write_live(live)
    AUTHORITY.issue("new.example.com").write_live(live)
    assert shake(certificates, "new.example.com")[0] == "mx.example.org"
    now.seconds = 1.1
    certificates.context()
    assert shake(certificates, "new.example.com")[0] == "new.example.com"
    assert "smtp.example.org" in certificates.names


def test_a_link_that_points_elsewhere_is_a_change(tmp_path):
    """letsencrypt's live folder holds links."""
    now = Now()
    archive, live = tmp_path / "archive", tmp_path / "live"
    first = EXAMPLE.write_live(archive / "1")
    second = AUTHORITY.issue("mx.example.org", "new.example.org").write_live(archive / "2")
    (live / "mx.example.org").mkdir(parents=True)
    for name in ("fullchain.pem", "privkey.pem"):
        (live / "mx.example.org" / name).symlink_to(first / name)
    certificates = Certificates(TlsSettings(live), "mx.example.org", now)
    for name in ("fullchain.pem", "privkey.pem"):
        (live / "mx.example.org" / name).unlink()
        (live / "mx.example.org" / name).symlink_to(second / name)
    now.seconds = 2
    certificates.context()
    assert "new.example.org" in certificates.names


def test_broken_new_files_leave_the_old_in_use(live, errors):
    """Half a renewal is an error once, and whole later."""
    now = Now()
    certificates = Certificates(TlsSettings(live), "mx.example.org", now)
    (live / "mx.example.org" / "privkey.pem").write_bytes(OTHER.key)
    for now.seconds in (2, 4, 6):
        assert shake(certificates)[0] == "mx.example.org"
    assert len(errors) == 1
    assert "does not belong" in errors[0]
    assert not certificates.reload()
    AUTHORITY.issue("mx.example.org", "fresh.example.org").write_live(live)
    assert certificates.reload()
    assert "fresh.example.org" in certificates.names


def test_files_that_vanish_leave_the_old_in_use(live, errors):
    """Said once, not every second."""
    now = Now()
    certificates = Certificates(TlsSettings(live), "mx.example.org", now)
    for name in ("mx.example.org", "mail.example.net"):
        os.rename(live / name / "fullchain.pem", live / name / "gone.pem")
    for now.seconds in (2, 4, 6):
        assert shake(certificates)[0] == "mx.example.org"
    assert len(errors) == 1


def test_reload_without_a_change_succeeds(live):
    """It reads them all again."""
    assert Certificates(TlsSettings(live), "mx.example.org").reload()


def test_what_is_missing_or_wrong_is_refused_at_start(live, tmp_path):
    """With the file's name."""
    with pytest.raises(OSError, match="missing"):
        Certificates(TlsSettings(tmp_path / "missing"), "mx")
    (tmp_path / "empty").mkdir()
    with pytest.raises(OSError, match="no folder"):
        Certificates(TlsSettings(tmp_path / "empty"), "mx")
    with pytest.raises(ValueError, match=r"no certificate for nobody\.example"):
        Certificates(TlsSettings(live, default="nobody.example"), "mx")
    (live / "mx.example.org" / "privkey.pem").unlink()
    with pytest.raises(OSError, match=r"privkey\.pem"):
        Certificates(TlsSettings(live), "mx")
    broken = tmp_path / "broken.pem"
    broken.write_bytes(b"no PEM at all")
    with pytest.raises(ValueError, match=r"broken\.pem: no certificate"):
        Certificates(TlsSettings(broken), "mx")
    broken.write_bytes(EXAMPLE.chain)
    with pytest.raises(ValueError, match=r"broken\.pem: no private key"):
        Certificates(TlsSettings(broken), "mx")


def test_a_key_of_another_certificate_is_refused_at_start(live):
    """The operator hears which file it is."""
    (live / "mx.example.org" / "privkey.pem").write_bytes(OTHER.key)
    with pytest.raises(ValueError, match=r"privkey\.pem: .*does not belong"):
        Certificates(TlsSettings(live), "mx.example.org")


def only(version):
    return lambda context: (
        context.set_min_proto_version(version) or context.set_max_proto_version(version)
    )


def old_ciphers_too(version):
    def configure(context):
        only(version)(context)
        context.set_cipher_list(b"ALL:@SECLEVEL=0")

    return configure


@pytest.mark.parametrize("version", [SSL.TLS1_VERSION, SSL.TLS1_1_VERSION])
def test_tls_before_1_2_is_refused(live, version):
    """RFC 8996."""
    certificates = Certificates(TlsSettings(live), "mx.example.org")
    with pytest.raises(SSL.Error):
        shake(certificates, configure=old_ciphers_too(version))


def test_tls_1_2_and_1_3_are_spoken(live):
    """And 1.2 can be turned off."""
    certificates = Certificates(TlsSettings(live), "mx.example.org")
    client = shake(certificates, configure=only(SSL.TLS1_2_VERSION))[1]
    assert client.get_protocol_version_name() == "TLSv1.2"
    assert shake(certificates)[1].get_protocol_version_name() == "TLSv1.3"
    strict = Certificates(TlsSettings(live, minimum="1.3"), "mx.example.org")
    with pytest.raises(SSL.Error):
        shake(strict, configure=only(SSL.TLS1_2_VERSION))


def test_the_chain_is_sent_and_verifies(live):
    """A client that trusts the authority trusts the host."""

    def verify(context):
        store = context.get_cert_store()
        from OpenSSL import crypto

        store.add_cert(crypto.load_certificate(crypto.FILETYPE_PEM, AUTHORITY.pem))
        context.set_verify(SSL.VERIFY_PEER, lambda *args: bool(args[-1]))

    certificates = Certificates(TlsSettings(live), "mx.example.org")
    assert shake(certificates, "mx.example.org", verify)[0] == "mx.example.org"


def test_the_authority_issues_addresses_and_expired_ones(tmp_path):
    """For tests of those who verify."""
    expired = AUTHORITY.issue("127.0.0.1", "localhost", days=-2).write_live(tmp_path)
    certificates = Certificates(TlsSettings(tmp_path), "localhost")
    certificate = shake(certificates)[1].get_peer_certificate(as_cryptography=True)
    assert certificate.not_valid_after_utc < AUTHORITY.certificate.not_valid_after_utc
    assert expired.name == "127.0.0.1"
    assert certificates.names == ("127.0.0.1", "localhost")


def test_a_weak_certificate_is_refused_with_its_file(tmp_path):
    """OpenSSL takes no RSA key of 1024 bits at its default level."""
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    key = rsa.generate_private_key(65537, 1024)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "weak.example")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "weak.pem"
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(certificate.public_bytes(Encoding.PEM) + pem)
    with pytest.raises(ValueError, match=r"weak\.pem: OpenSSL does not take it"):
        Certificates(TlsSettings(path), "weak.example")


def python_shake(certificates, context, session):
    """A handshake with Python's ssl, which would resume this session."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, session=session)
    server = certificates.server_options().serverConnectionForTLS(None)
    server.set_accept_state()
    for _ in range(4):
        for step in (client.do_handshake, server.do_handshake, lambda: client.read(1)):
            try:
                step()
            except (ssl.SSLWantReadError, SSL.WantReadError):
                pass
            if outgoing.pending:
                server.bio_write(outgoing.read())
            try:
                incoming.write(server.bio_read(65536))
            except SSL.WantReadError:
                pass
    return client


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_no_session_is_resumed(live, version):
    """Nothing that outlives a connection could open it later; the handshake is a full one."""
    certificates = Certificates(TlsSettings(live), "mx.example.org")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = version
    first = python_shake(certificates, context, None)
    assert first.version() == version.name.replace("v1_", "v1.")
    again = python_shake(certificates, context, first.session)
    assert again.version() == first.version()
    assert not again.session_reused
