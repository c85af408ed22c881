"""Mail that leaves one host for another: its sender rewritten, its TLS by policy."""

from __future__ import annotations

import hashlib
import shutil
import smtplib
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from live_servers import Host, wait_for
from mailframe.testing.certificates import Issued, make_authority

pytestmark = pytest.mark.live

EXAMPLE = Path(__file__).parents[2] / "examples" / "leaving"
PARTNER = """\
hostname = "mx.partner.example"
state = "state"
[tls]
certificates = "certificates"
[[listen]]
name = "mx"
endpoint = "tcp:0:interface=127.0.0.1"
[[relay]]
plugin = "inbound"
domains = ["partner.example"]
[[route]]
plugin = "mailboxes"
domains = ["partner.example"]
file = "mailboxes"
[queue]
plugin = "sqlite"
[deliver.maildir]
plugin = "maildir"
path = "mail/{domain}/{user}/Maildir"
"""


def key_of(issued: Issued) -> str:
    """The SHA-256 of its public key."""
    key = x509.load_pem_x509_certificates(issued.chain)[0].public_key()
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


@pytest.fixture
def partner(tmp_path: Path) -> Iterator[tuple[Host, str]]:
    issued = make_authority().issue("mx.partner.example")
    issued.write_live(tmp_path / "partner" / "certificates")
    everybody = "bob@partner.example\neve@partner.example\n"
    with Host(tmp_path / "partner", PARTNER, mailboxes=everybody) as host:
        yield host, key_of(issued)


def sender(folder: Path, partner: Host, key: str) -> Host:
    """The example's host, whose mail goes to the partner's port."""
    toml = (EXAMPLE / "mailframe.toml").read_text().replace("tcp:2525:", "tcp:0:")
    route = f'plugin = "smarthost"\nhost = "127.0.0.1"\nprivate = true\nport = {partner.port()}'
    toml = toml.replace('plugin = "mx"', route)
    toml = toml.replace(
        '"partner.example" = ["5f2e' + 56 * "0" + "00aa", f'"[127.0.0.1]" = ["{key}'
    )
    folder.mkdir()
    shutil.copy(EXAMPLE / "leaving.py", folder / "leaving.py")
    host = Host(folder, toml)
    assert key in host.config.read_text()
    assert "correct" in host.command("check")
    return host


def send(host: Host, *to: str) -> None:
    with smtplib.SMTP("127.0.0.1", host.port("submission"), timeout=20) as client:
        client.sendmail("news@lists.example.org", to, b"Subject: news\r\n\r\nHello.\r\n")


def test_senders_are_rewritten_and_the_pinned_key_is_taken(
    tmp_path: Path, partner: tuple[Host, str]
) -> None:
    """Each copy has its own sender at the partner, over TLS."""
    there, key = partner
    with sender(tmp_path / "here", there, key) as here:
        send(here, "bob@partner.example", "eve@partner.example")
        for name in ("bob", "eve"):
            [mail] = there.wait_for_mail(f"{name}@partner.example")
            bounces = f"<news+{name}=partner.example@lists.example.org>"
            assert mail.startswith(b"Return-Path: " + bounces.encode())
            assert b"\nPrecedence: list\n" in mail and b"with ESMTPS" in mail


def test_another_key_gets_nothing(tmp_path: Path, partner: tuple[Host, str]) -> None:
    """The message waits and says why, and the partner has heard no sender."""
    there, _ = partner
    with sender(tmp_path / "here", there, 64 * "0") as here:
        send(here, "bob@partner.example")

        def refused() -> bool:
            return "none of those that are pinned" in here.command("queue", "list", "--json")

        wait_for(refused, name="the refusal of the certificate")
        assert there.mail("bob@partner.example") == []
        assert "MAIL" not in there.process.said()
