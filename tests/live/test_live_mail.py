"""Mail through a real twistd with real clients, real peers and a real name server."""

from __future__ import annotations

import email
import email.policy
import imaplib
import json
import os
import signal
import smtplib
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from live_servers import Dovecot, Host, Postfix, free_port, nsd, wait_for
from mailframe.testing.certificates import make_authority

pytestmark = pytest.mark.live

MESSAGE = b"From: <%b>\r\nTo: <%b>\r\nSubject: %b\r\n\r\n.leading dot\r\nlast line\r\n"

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
[[listen]]
name = "submissions"
endpoint = "tcp:0:interface=127.0.0.1"
tls = "implicit"
requires = ["auth"]
[dns]
servers = ["127.0.0.1:{dns}"]
timeout = 3
[[auth]]
plugin = "passwords"
file = "users"
[[relay]]
plugin = "inbound"
domains = ["ours.example", "dove.example"]
[[relay]]
plugin = "authenticated"
[[route]]
plugin = "aliases"
file = "aliases"
domains = ["ours.example"]
[[route]]
plugin = "mailboxes"
domains = ["ours.example"]
file = "mailboxes"
deliver = "maildir"
[[route]]
plugin = "mailboxes"
domains = ["dove.example"]
file = "mailboxes"
deliver = "dovecot"
[[route]]
plugin = "mx"
deliver = "smtp"
[queue]
plugin = "sqlite"
[retry]
waits = [1, 1, 2]
jitter = 0
[deliver.maildir]
plugin = "maildir"
path = "mail/{{domain}}/{{user}}/Maildir"
[deliver.dovecot]
plugin = "lmtp"
host = "127.0.0.1"
port = {lmtp}
[deliver.smtp]
plugin = "smtp"
port = {outbound}
private = true
[[observe]]
plugin = "trace"
[[observe]]
plugin = "log"
file = "log.json"
"""


def message(sender: str, recipient: str, subject: str) -> bytes:
    return MESSAGE % (sender.encode(), recipient.encode(), subject.encode())


@pytest.fixture(scope="module")
def world(
    tmp_path_factory: pytest.TempPathFactory, need: Callable[..., None]
) -> Iterator[tuple[Host, Postfix, Dovecot]]:
    """A host, and as the rest of the world Postfix for pf.example, Dovecot, and nsd."""
    need("nsd", "postfix", "dovecot", "swaks")
    base = tmp_path_factory.mktemp("world")
    outbound = free_port()
    zones = {
        "pf.example": "@ MX 5 dead\n@ MX 10 mx\ndead A 127.0.0.2\nmx A 127.0.0.1\n",
        "null.example": "@ MX 0 .\n",
    }
    postfix = Postfix(
        base / "postfix", outbound,
        virtual_mailbox_domains="pf.example",
        virtual_mailbox_maps=f"texthash:{base}/postfix-users",
        virtual_mailbox_base=f"{base}/postfix/mail",
        myhostname="mx.pf.example",
    )  # fmt: skip
    (base / "postfix-users").write_text("bob@pf.example bob/\n")
    with nsd(base / "nsd", zones) as dns, Dovecot(base / "dovecot") as dovecot:
        host = Host(
            base / "host",
            TOML.format(dns=dns, lmtp=dovecot.lmtp, outbound=outbound),
            aliases="team: alice, bob@pf.example\npostmaster: alice\n",
            mailboxes="alice\ncarol\n",
        )
        make_authority().issue("mx.ours.example").write_live(base / "host" / "certificates")
        host.command("user", "add", "alice@ours.example", "--stdin", stdin="wonderland\n")
        postfix.main["relayhost"] = ""
        with host:
            postfix.main["transport_maps"] = (
                f"inline:{{ours.example=smtp:[127.0.0.1]:{host.port()}}}"
            )
            with postfix:
                yield host, postfix, dovecot


def swaks(host: Host, listener: str, *words: str) -> subprocess.CompletedProcess[str]:
    """What a run of swaks says."""
    argv = ["swaks", "--server", "127.0.0.1", "--port", str(host.port(listener)), *words]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


def postfix_mail(postfix: Postfix, box: str = "bob") -> list[bytes]:
    new = postfix.folder / "mail" / box / "new"
    return [file.read_bytes() for file in new.iterdir()] if new.exists() else []


def listed(host: Host) -> list[dict[str, object]]:
    """What `mailframe queue list --json` shows."""
    return [json.loads(line) for line in host.command("queue", "list", "--json").splitlines()]


def test_swaks_submits_with_starttls_and_auth(world: tuple[Host, Postfix, Dovecot]) -> None:
    """A user logs in over STARTTLS and sends to a colleague; the mail is in the Maildir."""
    host, _, _ = world
    said = swaks(
        host, "submission", "--tls", "--auth", "PLAIN", "--auth-user", "alice@ours.example",
        "--auth-password", "wonderland", "--from", "alice@ours.example",
        "--to", "carol@ours.example", "--header", "Subject: by swaks", "--body", "hello",
    )  # fmt: skip
    assert said.returncode == 0, said.stdout
    (mail,) = host.wait_for_mail("carol@ours.example")
    assert mail.startswith(b"Return-Path: <alice@ours.example>\n")
    assert b"with ESMTPSA" in mail
    assert b"\nMessage-ID: <" in mail or b"\nMessage-Id: <" in mail


def test_implicit_tls_takes_login(world: tuple[Host, Postfix, Dovecot]) -> None:
    """On port 465's kind of listener TLS comes first, and AUTH LOGIN works inside it."""
    host, _, _ = world
    said = swaks(
        host, "submissions", "--tls-on-connect", "--auth", "LOGIN",
        "--auth-user", "alice@ours.example", "--auth-password", "wonderland",
        "--from", "alice@ours.example", "--to", "alice@ours.example",
    )  # fmt: skip
    assert said.returncode == 0, said.stdout
    assert host.wait_for_mail("alice@ours.example")


def test_wrong_password_and_no_tls_are_refused(world: tuple[Host, Postfix, Dovecot]) -> None:
    """535 for a wrong password; without TLS there is no AUTH to use."""
    host, _, _ = world
    words = ["--auth-user", "alice@ours.example", "--to", "x@pf.example"]
    wrong = swaks(host, "submission", "--tls", "--auth-password", "no", "--auth", *words)
    assert "535 5.7.8" in wrong.stdout
    clear = swaks(host, "submission", "--auth-password", "wonderland", "--auth", *words)
    assert clear.returncode != 0 and "235" not in clear.stdout


def test_strangers_cannot_relay_loopback_included(world: tuple[Host, Postfix, Dovecot]) -> None:
    """A client on 127.0.0.1 is a stranger like any other."""
    host, _, _ = world
    with smtplib.SMTP("127.0.0.1", host.port()) as client:
        client.ehlo("stranger.example")
        client.mail("a@stranger.example")
        assert client.rcpt("bob@pf.example")[0] == 550
        assert client.rcpt("nobody@ours.example") == (550, b"5.1.1 No such mailbox here")
        assert client.rcpt("alice@ours.example")[0] == 250


def test_relay_by_mx_to_postfix_with_fallback(world: tuple[Host, Postfix, Dovecot]) -> None:
    """The first exchange is dead, the second is Postfix: the mail is there, dots intact."""
    host, postfix, _ = world
    with smtplib.SMTP("127.0.0.1", host.port("submission")) as client:
        client.starttls()
        client.login("alice@ours.example", "wonderland")
        client.sendmail(
            "alice@ours.example",
            ["bob@pf.example"],
            message("alice@ours.example", "bob@pf.example", "relayed"),
        )
    wait_for(lambda: any(b"Subject: relayed" in mail for mail in postfix_mail(postfix)))
    (mail,) = (mail for mail in postfix_mail(postfix) if b"Subject: relayed" in mail)
    assert b"\n.leading dot\nlast line\n" in mail


def test_postfix_sends_to_us(world: tuple[Host, Postfix, Dovecot]) -> None:
    """A message handed to Postfix's sendmail arrives here as the MX."""
    host, postfix, _ = world
    postfix.send(
        "bob@pf.example", ["carol@ours.example"],
        b"From: bob@pf.example\nSubject: from Postfix\n\n.dot\n",
    )  # fmt: skip
    wait_for(lambda: any(b"from Postfix" in mail for mail in host.mail("carol@ours.example")))


def test_lmtp_to_dovecot_and_imap_reads_it(world: tuple[Host, Postfix, Dovecot]) -> None:
    """Final delivery over LMTP; an IMAP client finds the message."""
    host, _, dovecot = world
    with smtplib.SMTP("127.0.0.1", host.port()) as client:
        client.sendmail(
            "bob@pf.example", ["alice@dove.example"],
            message("bob@pf.example", "alice@dove.example", "for Dovecot"),
        )  # fmt: skip

    def found() -> bytes | None:
        with imaplib.IMAP4("127.0.0.1", dovecot.imap) as imap:
            imap.login("alice@dove.example", "secret")
            imap.select("INBOX")
            numbers = imap.search(None, "SUBJECT", '"for Dovecot"')[1][0].split()
            return imap.fetch(numbers[0], "(RFC822)")[1][0][1] if numbers else None

    octets = wait_for(found)
    assert b".leading dot\r\nlast line\r\n" in octets


def test_an_alias_expands_here_and_abroad(world: tuple[Host, Postfix, Dovecot]) -> None:
    """One recipient becomes a local mailbox and a remote one."""
    host, postfix, _ = world
    with smtplib.SMTP("127.0.0.1", host.port()) as client:
        client.sendmail(
            "x@pf.example", ["team@ours.example"],
            message("x@pf.example", "team@ours.example", "to the team"),
        )  # fmt: skip
    wait_for(lambda: any(b"to the team" in mail for mail in host.mail("alice@ours.example")))
    wait_for(lambda: any(b"to the team" in mail for mail in postfix_mail(postfix)))


@pytest.mark.parametrize(
    "recipient, status",
    [
        ("nobody@pf.example", "5.1.1"),
        ("x@null.example", "5.1.10"),
        ("x@nowhere.pf.example", "5.1.2"),
    ],
)
def test_what_cannot_be_delivered_bounces(
    world: tuple[Host, Postfix, Dovecot], recipient: str, status: str
) -> None:
    """The sender gets an RFC 3464 report that names the recipient and the status."""
    host, _, _ = world
    with smtplib.SMTP_SSL(
        "127.0.0.1", host.port("submissions"), context=ssl._create_unverified_context()
    ) as client:
        client.login("alice@ours.example", "wonderland")
        client.sendmail(
            "alice@ours.example", [recipient], message("alice@ours.example", recipient, recipient)
        )

    def report() -> email.message.EmailMessage | None:
        for octets in host.mail("alice@ours.example"):
            parsed = email.message_from_bytes(octets, policy=email.policy.default)
            if parsed.get_content_type() == "multipart/report" and recipient in str(parsed):
                return parsed  # type: ignore[return-value]
        return None

    parsed = wait_for(report, 30)
    status_part = next(
        p for p in parsed.walk() if p.get_content_type() == "message/delivery-status"
    )
    fields = status_part.get_payload()[1]
    assert fields["Action"] == "failed"
    assert fields["Status"] == status
    assert fields["Final-Recipient"].replace(" ", "") == f"rfc822;{recipient}"
    assert not parsed.defects


def test_deferred_mail_waits_is_seen_and_goes(world: tuple[Host, Postfix, Dovecot]) -> None:
    """While Postfix is away the message waits in the queue; when it is back, it goes."""
    host, postfix, _ = world
    postfix.__exit__()
    try:
        with smtplib.SMTP_SSL(
            "127.0.0.1", host.port("submissions"), context=ssl._create_unverified_context()
        ) as client:
            client.login("alice@ours.example", "wonderland")
            client.sendmail(
                "alice@ours.example", ["bob@pf.example"],
                message("alice@ours.example", "bob@pf.example", "waited"),
            )  # fmt: skip
        (entry,) = wait_for(lambda: listed(host))
        assert "bob@pf.example" in host.command("queue", "show", entry["id"])
        assert "bob@pf.example" in host.command("trace", entry["id"])
        host.command("queue", "hold", entry["id"])
    finally:
        again = Postfix(postfix.folder.parent / "postfix-again", postfix.port, **postfix.main)
        again.main["virtual_mailbox_base"] = f"{again.folder}/mail"
        again.start()
    try:
        assert postfix_mail(again) == []
        host.command("queue", "release", entry["id"])
        host.command("queue", "retry", entry["id"], check=False)  # or it has gone by now
        wait_for(lambda: any(b"waited" in mail for mail in postfix_mail(again)), 30)
        wait_for(lambda: not listed(host))
    finally:
        again.__exit__()
        postfix.folder = again.folder
        postfix.main = again.main


def test_mutt_and_nail_read_the_maildir(
    world: tuple[Host, Postfix, Dovecot], need: Callable[..., None]
) -> None:
    """Mail readers find what was delivered."""
    need("mutt", "s-nail")
    host, _, _ = world
    assert host.mail("alice@ours.example")
    maildir = host.folder / "mail" / "ours.example" / "alice" / "Maildir"
    home = {**os.environ, "HOME": str(host.folder), "MAILRC": "/dev/null"}
    nail = subprocess.run(
        ["s-nail", "-n", "-R", "-H", "-f", maildir],
        capture_output=True, text=True, env=home, timeout=30, check=False,
    )  # fmt: skip
    assert nail.returncode == 0, nail.stderr
    assert "alice" in nail.stdout or "Undelivered" in nail.stdout
    mutt = subprocess.run(
        ["mutt", "-n", "-F", "/dev/null", "-R", "-Z", "-f", maildir],
        capture_output=True, text=True, env={**home, "TERM": "xterm"}, timeout=30, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    # -Z ends with 1 only where the folder holds no new mail.
    assert "no mailbox" not in mutt.stderr.lower() and "no new mail" not in mutt.stdout.lower()


NODEMAILER = """
const nodemailer = require("nodemailer");
const transport = nodemailer.createTransport({
  host: "127.0.0.1", port: Number(process.argv[1]), requireTLS: true,
  tls: { rejectUnauthorized: false },
  auth: { user: "alice@ours.example", pass: "wonderland" },
});
transport.sendMail({
  from: "alice@ours.example", to: "carol@ours.example", subject: "by nodemailer",
  text: "Grüße",
  dsn: {
    id: "node-1", return: "headers", notify: ["success"], recipient: "alice@ours.example",
  },
}).then(
  (info) => console.log(info.response),
  (wrong) => { console.error(wrong); process.exit(1); },
);
"""


def test_nodemailer_sends_and_is_told_of_success(
    world: tuple[Host, Postfix, Dovecot], need: Callable[..., None]
) -> None:
    """NOTIFY=SUCCESS from a Node client brings a 'delivered' report with its ENVID."""
    need("node")
    host, _, _ = world
    script = Path(__file__).with_name("node_modules")
    assert script.exists(), "nodemailer is missing: npm --prefix tests/live install"
    done = subprocess.run(
        ["node", "-e", NODEMAILER, "--", str(host.port("submission"))],
        cwd=script.parent, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("250 2.0.0")
    wait_for(lambda: any(b"by nodemailer" in mail for mail in host.mail("carol@ours.example")))
    wait_for(
        lambda: any(
            b"Action: delivered" in mail and b"node-1" in mail
            for mail in host.mail("alice@ours.example")
        )
    )


def test_nothing_before_starttls_survives_it(world: tuple[Host, Postfix, Dovecot]) -> None:
    """Commands that came behind STARTTLS in the clear are not executed inside TLS."""
    host, _, _ = world
    with socket.create_connection(("127.0.0.1", host.port("submission")), 10) as plain:
        reader = plain.makefile("rb")
        assert reader.readline().startswith(b"220 ")
        plain.sendall(b"EHLO a.example\r\n")
        while reader.readline()[3:4] == b"-":
            pass
        plain.sendall(b"STARTTLS\r\nNOOP\r\nMAIL FROM:<evil@a.example>\r\n")
        assert reader.readline().startswith(b"220 ")
        context = ssl._create_unverified_context()
        with context.wrap_socket(plain) as secure:
            secure.settimeout(10)
            secure.sendall(b"NOOP\r\n")
            said = secure.recv(1000)
            assert said.count(b"\r\n") == 1, said
            secure.sendall(b"MAIL FROM:<a@a.example>\r\n")
            assert secure.recv(1000)[:3] == b"503"


def test_sigterm_stops_gracefully_and_kill_loses_nothing(
    world: tuple[Host, Postfix, Dovecot],
) -> None:
    """What got 250 is delivered after SIGKILL and a new start; SIGTERM ends with status 0."""
    host, _, _ = world
    before = len(host.mail("carol@ours.example"))
    with smtplib.SMTP("127.0.0.1", host.port()) as client:
        for number in range(20):
            client.sendmail(
                "bob@pf.example", ["carol@ours.example"],
                message("bob@pf.example", "carol@ours.example", f"kill {number}"),
            )  # fmt: skip
        host.process.kill(signal.SIGKILL)
    assert host.process.process is not None
    host.process.process.wait(10)
    host.start()
    host.wait_for_mail("carol@ours.example", before + 20)
    subjects = b"".join(host.mail("carol@ours.example"))
    assert all(b"Subject: kill %d\n" % number in subjects for number in range(20))
    # twistd ends by the signal that ended it.
    assert host.stop() in (0, -signal.SIGTERM)
    assert "Traceback" not in host.process.said()
    host.start()
