"""Lines of over 998 octets on their way out: nobody must refuse them, and nothing is lost."""

from __future__ import annotations

import io
from email import message_from_bytes
from typing import Any

from scripted_peer import Network, Peer, message, recipients
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from mailframe.message import Content, Message, Status
from mailframe.transmission import form

SIGNED = (
    b"MIME-Version: 1.0\r\nContent-Type: multipart/signed; boundary=b\r\n\r\n"
    b"--b\r\n\r\n%s\r\n--b\r\nContent-Type: a/b\r\n\r\nsignature\r\n--b--\r\n"
)
LARGE = b"..line of text\r\n" * 40000  # more than one block


def stored(octets: bytes) -> Message:
    """A message that has to be opened."""
    mail = message(b"")
    content = Content(b"", lambda: io.BytesIO(octets), len(octets))
    return Message(mail.id, mail.envelope, content)


class TestLongLines(SynchronousTestCase):
    """RFC 5321 section 4.5.3.1.6: 998 octets, and a CRLF."""

    LONG = b"Subject: x\r\n\r\n" + b"word " * 600 + b"end\r\n.\r\n"

    def sent(self, mail: Message, *extensions: str, **courier: Any) -> bytes:
        network = Network(Peer(extensions=extensions), **courier)
        [outcome] = self.successResultOf(network.begin(mail, recipients("r@peer.example")))
        assert outcome.status in (Status.PASSED_ON, Status.RELAYED), outcome.reply
        self.said = network.peer.said
        [octets] = network.peer.messages
        return octets

    def test_text_is_re_encoded(self) -> None:
        """With and without 8BITMIME, from memory and from a file, and read as it was."""
        for octets in (self.LONG, self.LONG.replace(b"end", "é".encode())):
            for mail in (message(octets), stored(octets)):
                for extensions in ((), ("8BITMIME", "CHUNKING")):
                    read = message_from_bytes(got := self.sent(mail, *extensions))
                    assert max(map(len, got.split(b"\r\n"))) <= 998
                    assert read["Subject"] == "x"
                    assert read.get_payload(decode=True) == octets.partition(b"\r\n\r\n")[2]

    def test_lines_of_998_octets_stay(self) -> None:
        """They are as long as lines may be."""
        octets = b"X: " + b"x" * 995 + b"\r\n\r\n" + b"y" * 998 + b"\r\n"
        assert self.sent(message(octets)) == octets
        assert self.sent(stored(octets + LARGE)) == octets + LARGE

    def test_a_host_that_takes_any_octets_gets_them_as_they_are(self) -> None:
        """RFC 3030: what was signed stays so."""
        mail = message(b"DKIM-Signature: x\r\n" + self.LONG)
        assert self.sent(mail, "BINARYMIME", "CHUNKING") == mail.content.at_hand
        assert "BODY=BINARYMIME" in self.said[1]

    def test_signed_parts_stay(self) -> None:
        """Most hosts take such lines; a bounce of the others tells the sender."""
        octets = SIGNED % (b"x" * 2000)
        assert self.sent(message(octets), "8BITMIME") == octets
        self.patch(form, "MAX_CONVERTED", len(octets) - 1)
        assert self.sent(stored(octets)) == octets

    def test_what_cannot_be_re_encoded_is_broken(self) -> None:
        """As Postfix does it, whatever the size of the message."""
        head = b"Content-Type: multipart/mixed\r\n\r\n"
        line = b"x" * 998 + b"\r\n " + b"x" * 997 + b"\r\n xxxxx\r\n"
        octets = head + b"x" * 2000 + b"\r\n"
        rest = b"more\r\n" * 50_000  # more than one block
        assert self.sent(message(octets)) == head + line
        assert self.sent(stored(octets + rest)) == head + line + rest
        self.patch(form, "MAX_CONVERTED", 3000)
        octets = octets.replace(b"mixed", b"mixed; boundary=x")
        assert self.sent(stored(octets + rest)).endswith(line + rest)

    def test_the_size_that_is_said_is_that_of_what_is_sent(self) -> None:
        """RFC 1870 section 6: the message as it will be transferred."""
        octets = b"Content-Type: multipart/mixed\r\n\r\n" + b"x" * 1000 + b"\r\n"
        assert len(self.sent(stored(octets), "SIZE")) == len(octets) + 3
        assert f"SIZE={len(octets) + 3}" in self.said[1]

    def test_a_store_gets_them_as_they_came(self) -> None:
        """Unless it is told not to."""
        mail = message(self.LONG)
        assert self.sent(mail, "8BITMIME", any_line=True) == self.LONG

    def test_ordinary_messages_take_no_thread(self) -> None:
        """What is at hand is looked at on the spot."""

        def in_no_thread(*_: Any) -> Deferred[Any]:
            raise AssertionError("nothing is to be done in a thread")

        octets = b"Subject: x\r\n\r\n" + b"a line of text\r\n" * 1000
        assert self.sent(message(octets, body="8BITMIME"), in_thread=in_no_thread) == octets
