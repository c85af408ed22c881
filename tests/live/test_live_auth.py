"""Logging in to a real twistd with the clients that people have: swaks, smtplib, nodemailer, curl,
GNU SASL, each by the mechanisms that it speaks."""

from __future__ import annotations

import json
import smtplib
import ssl
import subprocess
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from live_servers import Host, wait_for
from mailframe.testing.certificates import make_authority

pytestmark = pytest.mark.live

TOML = """
hostname = "mx.ours.example"
state = "state"
[tls]
certificates = "certificates"
[[listen]]
name = "mx"
endpoint = "tcp:0:interface=127.0.0.1"
[[listen]]
name = "submission"
endpoint = "tcp:0:interface=127.0.0.1"
requires = ["tls", "auth"]
client_ca = "clients.pem"
[[listen]]
name = "submissions"
endpoint = "tcp:0:interface=127.0.0.1"
tls = "implicit"
requires = ["auth"]
[[auth]]
plugin = "passwords"
file = "users"
on = ["submission", "submissions"]
[[auth]]
plugin = "introspection"
endpoint = "http://127.0.0.1:{introspection}/"
client_id = "mail"
client_secret = "secret"
on = ["submission"]
[[auth]]
plugin = "certificate"
users = {{ "dns:scanner.ours.example" = "alice@ours.example" }}
on = ["submission"]
[[relay]]
plugin = "authenticated"
[[route]]
plugin = "mailboxes"
domains = ["ours.example"]
file = "mailboxes"
deliver = "discard"
[queue]
plugin = "memory"
[deliver.discard]
[[observe]]
plugin = "trace"
"""

ALICE, PASSWORD, TOKEN = "alice@ours.example", "wonder=land, ümlaut", "t0k.en-_~+/=="


class Introspection(BaseHTTPRequestHandler):
    """An authorization server that knows one token (RFC 7662)."""

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        ours = self.headers["Authorization"] == "Basic bWFpbDpzZWNyZXQ="
        known = ours and form["token"] == [TOKEN]
        body = json.dumps({"active": True, "username": ALICE} if known else {"active": False})
        self.send_response(200 if ours else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads it."""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A host with one user, one token and one certificate that are alice."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Introspection)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    folder = tmp_path_factory.mktemp("auth")
    toml = TOML.format(introspection=server.server_port)
    host = Host(folder, toml, mailboxes="alice\ncarol\n")
    authority, clients = make_authority(), make_authority("clients")
    authority.issue("mx.ours.example", "127.0.0.1").write_live(folder / "certificates")
    (folder / "ca.pem").write_bytes(authority.pem)
    (folder / "clients.pem").write_bytes(clients.pem)
    scanner = clients.issue("scanner.ours.example")
    (folder / "scanner.crt").write_bytes(scanner.chain)
    (folder / "scanner.key").write_bytes(scanner.key)
    host.command("user", "add", ALICE, "--stdin", stdin=PASSWORD + "\n")
    with host:
        yield host
    server.shutdown()
    server.server_close()


def run(*words: str | Path, stdin: bytes = b"") -> tuple[int, str]:
    """The exit status of a client, and all that it said."""
    done = subprocess.run(
        [str(word) for word in words], input=stdin, timeout=60, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    return done.returncode, done.stdout.decode(errors="replace")


def secure(host: Host) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(host.folder / "ca.pem"))
    context.check_hostname = False  # it dials an address
    return context


def offered(host: Host, name: str, context: ssl.SSLContext) -> list[str]:
    """The mechanisms that EHLO announces in TLS."""
    with smtplib.SMTP("127.0.0.1", host.port(name), timeout=20) as client:
        client.ehlo()
        assert "auth" not in client.esmtp_features
        client.starttls(context=context)
        client.ehlo()
        return client.esmtp_features.get("auth", "").split()


def test_each_listener_offers_what_its_plugins_can_serve(host: Host) -> None:
    """Nothing where nobody is asked, nothing in the clear, EXTERNAL to whoever shows something."""
    context = secure(host)
    every = ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "OAUTHBEARER", "XOAUTH2", "PLAIN", "LOGIN"]
    assert offered(host, "mx", context) == []
    assert offered(host, "submission", context) == every
    context.load_cert_chain(host.folder / "scanner.crt", host.folder / "scanner.key")
    assert offered(host, "submission", context) == ["EXTERNAL", *every]
    with smtplib.SMTP("127.0.0.1", host.port("mx"), timeout=20) as client:
        client.ehlo()
        assert client.docmd("AUTH PLAIN")[0] == 503
    with smtplib.SMTP("127.0.0.1", host.port("submission"), timeout=20) as client:
        client.ehlo()
        assert client.docmd("AUTH PLAIN")[0] == 538


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("password", [PASSWORD, "guess"])
def test_swaks(host: Host, need: Callable[..., None], mechanism: str, password: str) -> None:
    """The right password sends, the wrong one does not."""
    need("swaks")
    status, said = run(
        "swaks", "--server", "127.0.0.1", "--port", str(host.port("submission")), "--tls",
        "--auth", mechanism, "--auth-user", ALICE, "--auth-password", password,
        "--from", ALICE, "--to", "carol@ours.example",
    )  # fmt: skip
    assert (status == 0) is (password == PASSWORD), said
    assert ("235 2.7.0" if password == PASSWORD else "535 5.7.8") in said


def test_swaks_does_not_find_cram_md5(host: Host, need: Callable[..., None]) -> None:
    """It would want the password kept as it is."""
    need("swaks")
    status, said = run(
        "swaks", "--server", "127.0.0.1", "--port", str(host.port("submission")), "--tls",
        "--auth", "CRAM-MD5", "--auth-user", ALICE, "--auth-password", PASSWORD,
        "--from", ALICE, "--to", "carol@ours.example",
    )  # fmt: skip
    assert status != 0
    assert "235" not in said


def test_smtplib(host: Host) -> None:
    """It takes what it knows of the offer, in TLS from the first octet, too."""
    with smtplib.SMTP_SSL(
        "127.0.0.1", host.port("submissions"), timeout=20, context=secure(host)
    ) as client:
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.login(ALICE, "guess")
        assert client.docmd("AUTH", f"PLAIN {plain(PASSWORD)}")[0] == 235
        client.sendmail(ALICE, ["carol@ours.example"], "Subject: x\r\n\r\nx\r\n")


def plain(password: str) -> str:
    """The response of PLAIN; smtplib's own takes ASCII only."""
    return b64encode(f"\0{ALICE}\0{password}".encode()).decode()


def gsasl(host: Host, mechanism: str, *more: str, password: str = PASSWORD) -> str:
    """The conversation of GNU SASL's client."""
    return run(
        "gsasl", "--smtp", f"--connect=127.0.0.1:{host.port('submission')}",
        f"--x509-ca-file={host.folder / 'ca.pem'}", f"--mechanism={mechanism}", "--verbose",
        f"--authentication-id={ALICE}", f"--password={password}", *more,
    )[1]  # fmt: skip


@pytest.mark.parametrize(
    "how",
    [
        ("SCRAM-SHA-256", "--no-cb"),
        ("SCRAM-SHA-256-PLUS",),
        ("SCRAM-SHA-256-PLUS", "--priority=NORMAL:-VERS-TLS1.3"),
        ("SCRAM-SHA-256-PLUS", "--no-client-first"),
        ("PLAIN",),
    ],
    ids=" ".join,
)
def test_gnu_sasl(host: Host, need: Callable[..., None], how: tuple[str, ...]) -> None:
    """SCRAM by somebody else's hand, bound to GnuTLS's end of the connection."""
    need("gsasl")
    said = gsasl(host, *how)
    assert "235 2.7.0" in said, said
    assert "535 5.7.8" in gsasl(host, *how, password="guess")


def test_gnu_sasl_by_certificate(host: Host, need: Callable[..., None]) -> None:
    """EXTERNAL."""
    need("gsasl")
    shown = (
        f"--x509-cert-file={host.folder / 'scanner.crt'}",
        f"--x509-key-file={host.folder / 'scanner.key'}",
    )
    assert "235 2.7.0" in gsasl(host, "EXTERNAL", *shown, "--authorization-id=")
    assert "235 2.7.0" in gsasl(host, "EXTERNAL", *shown, f"--authorization-id={ALICE}")
    assert "535 5.7.8" in gsasl(host, "EXTERNAL", *shown, "--authorization-id=carol@ours.example")
    assert "504 5.5.4" in gsasl(host, "EXTERNAL", "--authorization-id=")


def curl(host: Host, mechanism: str, *more: str | Path) -> tuple[int, str]:
    """curl sends a message."""
    return run(
        "curl", "--verbose", "--silent", "--ssl-reqd", "--cacert", host.folder / "ca.pem",
        "--url", f"smtp://127.0.0.1:{host.port('submission')}", "--mail-from", ALICE,
        "--mail-rcpt", "carol@ours.example", "--login-options", f"AUTH={mechanism}",
        "--upload-file", "-", *more, stdin=b"Subject: x\r\n\r\nx\r\n",
    )  # fmt: skip


@pytest.mark.parametrize("mechanism", ["OAUTHBEARER", "XOAUTH2"])
def test_curl_with_a_token(host: Host, need: Callable[..., None], mechanism: str) -> None:
    """The authorization server says whose it is; a bad one is refused, and so is another's name."""
    need("curl")
    status, said = curl(host, mechanism, "--user", ALICE, "--oauth2-bearer", TOKEN)
    assert status == 0 and "< 235 2.7.0" in said, said
    for user, token in ((ALICE, "bad"), ("carol@ours.example", TOKEN)):
        status, said = curl(host, mechanism, "--user", user, "--oauth2-bearer", token)
        assert status != 0 and "< 235" not in said, said
        assert "< 535 5.7.8" in said, said


NODEMAILER = """
const nodemailer = require("nodemailer");
const [port, method, user, secret] = process.argv.slice(1);
const auth = method === "OAUTH2" ? { type: "OAuth2", user, accessToken: secret }
                                 : { user, pass: secret };
nodemailer.createTransport({
  host: "127.0.0.1", port: Number(port), requireTLS: true,
  tls: { rejectUnauthorized: false }, auth,
  authMethod: method === "OAUTH2" ? undefined : method,
}).sendMail({ from: user, to: "carol@ours.example", subject: "x", text: "x" }).then(
  (info) => console.log(info.response),
  (wrong) => { console.error(wrong.response || wrong); process.exit(1); },
);
"""


@pytest.mark.parametrize(
    ("method", "secret"),
    [("PLAIN", PASSWORD), ("LOGIN", PASSWORD), ("OAUTH2", TOKEN), ("OAUTH2", "bad")],
)
def test_nodemailer(host: Host, need: Callable[..., None], method: str, secret: str) -> None:
    """By password, and by XOAUTH2."""
    need("node", node_modules=("nodemailer",))
    done = subprocess.run(
        ["node", "-e", NODEMAILER, "--", str(host.port("submission")), method, ALICE, secret],
        cwd=Path(__file__).parent, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode == 0) is (secret != "bad"), done.stderr
    assert done.stdout.startswith("250 2.0.0") or "535 5.7.8" in done.stderr


def test_what_was_decided_can_be_read(host: Host) -> None:
    """The trace has who logged in, and by what; never a password or a token."""
    with smtplib.SMTP_SSL(
        "127.0.0.1", host.port("submissions"), timeout=20, context=secure(host)
    ) as client:
        client.ehlo()
        assert client.docmd("AUTH", f"PLAIN {plain(PASSWORD)}")[0] == 235
    log = host.process.said()
    wait_for(lambda: (host.state / "trace.sqlite").exists())
    written = b"".join(path.read_bytes() for path in host.state.glob("trace.sqlite*"))
    for secret in (PASSWORD, TOKEN, plain(PASSWORD)):
        assert secret not in log
        assert secret.encode() not in written
