"""A real host whose next hop offers nothing and refuses all that SMTP of 1982 could not carry."""

from __future__ import annotations

import base64
import smtplib
import socketserver
import threading
from collections.abc import Iterator
from email import message_from_bytes
from email.header import decode_header, make_header
from pathlib import Path

import pytest

from live_servers import Host, wait_for

pytestmark = pytest.mark.live

TOML = """
hostname = "mx.ours.example"
state = "state"
[[listen]]
name = "mx"
endpoint = "tcp:0:interface=127.0.0.1"
[[relay]]
plugin = "networks"
networks = ["127.0.0.0/8"]
[[route]]
plugin = "mailboxes"
domains = ["ours.example"]
file = "mailboxes"
[[route]]
plugin = "smarthost"
host = "127.0.0.1"
port = {port}
tls = "never"
[queue]
plugin = "sqlite"
[deliver.maildir]
plugin = "maildir"
path = "mail/{{domain}}/{{user}}/Maildir"
[deliver.smtp]
plugin = "smtp"
private = true
"""
HEAD = "From: Jürgen <a@c.example>\r\nTo: b@there.example\r\nSubject: Grüße\r\n".encode()


class OldHost(socketserver.StreamRequestHandler):
    """One session. Takes 7-bit lines of at most 1000 octets with their CRLF."""

    def handle(self) -> None:
        self.say("220 old.example")
        while line := self.rfile.readline():
            verb = line[:4].upper()
            if verb == b"DATA":
                self.say("354 go on")
                lines = list(iter(self.rfile.readline, b".\r\n"))
                good = all(line.isascii() and len(line) <= 1000 for line in lines)
                if good:
                    self.server.taken.append(b"".join(lines))  # type: ignore[attr-defined]
                self.say("250 fine" if good else "550 5.6.0 not what I can take")
            elif verb in (b"MAIL", b"RCPT"):
                self.say("250 fine" if line.endswith(b">\r\n") else "555 5.5.4 no parameters here")
            else:
                self.say("221 bye" if verb == b"QUIT" else "250 old.example")

    def say(self, line: str) -> None:
        self.wfile.write(line.encode() + b"\r\n")


@pytest.fixture
def taken() -> Iterator[tuple[int, list[bytes]]]:
    """The port of such a host, and what it took."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), OldHost) as server:
        server.taken = []  # type: ignore[attr-defined]
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1], server.taken  # type: ignore[attr-defined]
        server.shutdown()


def test_what_was_taken_arrives(tmp_path: Path, taken: tuple[int, list[bytes]]) -> None:
    """8-bit fields and bodies, long lines and BINARYMIME; nothing bounces, all is read the same."""
    port, arrived = taken
    html = b"<p>" + "Grüße ".encode() * 700 + b"</p>\r\n"
    image = bytes(range(256)) * 10
    typed = HEAD + b"MIME-Version: 1.0\r\nContent-Type: image/png; name=x\r\n\r\n"
    with Host(tmp_path / "host", TOML.format(port=port), mailboxes="bob\n") as host:
        with smtplib.SMTP("127.0.0.1", host.port(), timeout=30) as smtp:
            smtp.ehlo()
            for number, words in enumerate(("", "BODY=8BITMIME", "BODY=8BITMIME SMTPUTF8")):
                body = HEAD + b"Content-Type: text/html; charset=utf-8\r\n\r\n" + html
                smtp.sendmail("a@c.example", ["b@there.example"], body, words.split())
                wait_for(lambda number=number: len(arrived) > number, name="what arrives")
            for to in ("b@there.example", "bob@ours.example"):
                assert smtp.docmd("MAIL FROM:<a@c.example> BODY=BINARYMIME")[0] == 250
                assert smtp.docmd(f"RCPT TO:<{to}>")[0] == 250
                smtp.send(b"BDAT %d LAST\r\n" % len(typed + image) + typed + image)
                assert smtp.getreply()[0] == 250
        wait_for(lambda: len(arrived) == 4, name="what arrives")
        [local] = host.wait_for_mail("bob@ours.example")
    for octets in arrived:
        read = message_from_bytes(octets)
        assert str(make_header(decode_header(read["Subject"]))) == "Grüße"
        assert str(make_header(decode_header(read["From"]))) == "Jürgen <a@c.example>"
    assert [message_from_bytes(x).get_payload(decode=True) for x in arrived] == [html] * 3 + [image]
    assert message_from_bytes(local).get_payload(decode=True) == image
    assert base64.encodebytes(image) in local and HEAD.replace(b"\r\n", b"\n") in local
