"""Content on its way out: at the server's pace, never cut short, never smuggled."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_peer import FULL, Network, Peer, in_thread, message, recipients
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from mailframe.message import Content, Message, Status
from mailframe.mime.seven_bit import MAX_CONVERTED
from mailframe.smtp.address import Mailbox
from mailframe.transmission import form

LARGE = b"Subject: large\r\n\r\n" + b"..line of text\r\n" * 40000  # more than one block


class Failing(io.BytesIO):
    """A file that a disk gives up on."""

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() > 100_000:
            raise OSError("input/output error")
        return super().read(size)


def stored(
    octets: bytes, size: int | None = None, file: Any = io.BytesIO, **envelope: Any
) -> Message:
    """A message that has to be opened."""
    mail = message(b"", **envelope)
    content = Content(b"X: y\r\n", lambda: file(octets), len(octets) if size is None else size)
    return replace(mail, content=content)


class TestContent(SynchronousTestCase):
    def send(self, network: Network, mail: Message) -> Any:
        [outcome] = self.successResultOf(network.begin(mail, recipients("r@peer.example")))
        return outcome

    def test_large_content_arrives_whole(self) -> None:
        """From a file and from memory, in blocks, with its dots."""
        for mail in (message(LARGE), stored(LARGE)):
            network = Network()
            assert self.send(network, mail).status is Status.PASSED_ON
            assert network.peer.messages == [mail.content.open().read()]

    def test_the_servers_pace_is_kept(self) -> None:
        """Nothing is read from the store while the server does not take what it has."""
        reads: list[Any] = []

        def counting(call: Any, *arguments: Any) -> Deferred[Any]:
            reads.append(call)
            return in_thread(call, *arguments)

        network = Network(in_thread=counting)
        network.world.slow = True
        begun = network.begin(stored(LARGE), recipients("r@peer.example"))
        self.assertNoResult(begun)
        [wire] = network.peer.transports
        seen = len(reads)
        while wire.producer is not None and len(reads) < 40:
            wire.producer.resumeProducing()
            network.world.run()
            assert len(reads) <= seen + 2
            seen = len(reads)
        [outcome] = self.successResultOf(begun)
        assert outcome.status is Status.PASSED_ON and len(network.peer.messages[0]) > 600_000

    def test_a_server_that_takes_nothing_is_left(self) -> None:
        """RFC 5321 section 4.5.3.2.5: three minutes for a block."""
        network = Network()
        network.world.slow = True
        begun = network.begin(stored(LARGE), recipients("r@peer.example"))
        network.pass_time(181)
        [outcome] = self.successResultOf(begun)
        assert outcome.status is Status.DEFERRED and network.peer.transports[0].aborted
        assert not network.peer.messages

    def test_a_store_that_fails_ends_no_message(self) -> None:
        """Half of it went out: the connection is dropped, and there is no dot."""
        network = Network()
        outcome = self.send(network, stored(LARGE, file=Failing))
        assert outcome.status is Status.DEFERRED and outcome.reply.status == "4.3.0"
        assert network.peer.transports[0].aborted and not network.peer.messages

        def missing(octets: bytes) -> Any:
            raise FileNotFoundError(octets[:4])

        network = Network()
        outcome = self.send(network, stored(LARGE, file=missing))
        assert outcome.status is Status.DEFERRED and not network.peer.messages

    def test_a_store_that_gives_less_or_more_ends_no_message(self) -> None:
        """The size that was accepted is the size that goes out, by DATA as by BDAT."""
        for body in ("7BIT", "BINARYMIME"):
            for size in (len(LARGE) - 1, len(LARGE) + 1):
                network = Network()
                outcome = self.send(network, stored(LARGE, size=size, body=body))
                assert outcome.status is Status.DEFERRED and outcome.reply.status == "4.3.0"
                assert not network.peer.messages and network.peer.transports[0].aborted

    def test_bare_line_ends_are_never_passed_on(self) -> None:
        """Whatever brought them into the queue: nobody gets them, and the sender is told."""
        for spelling in (b"a\n.\nb", b"a\r.\rb", b"a\r\n.\n", b"a\n.\r\n", b"a\0b", b"a\r"):
            for padding in (b"", LARGE):
                network = Network()
                outcome = self.send(network, message(padding + spelling))
                assert outcome.status is Status.FAILED and outcome.reply.status == "5.6.0"
                assert not network.peer.messages, spelling
                assert all(wire.aborted for wire in network.peer.transports)

    def test_a_server_that_says_no_before_the_end_is_believed(self) -> None:
        """And so is the 421 that ends a session amid the content."""
        for said, status in (
            (b"552 5.3.4 enough\r\n", Status.FAILED),
            (b"421 bye\r\n", Status.DEFERRED),
        ):
            network = Network()
            network.world.slow = True
            begun = network.begin(stored(LARGE), recipients("r@peer.example"))
            network.peer.transports[0].arrive(said)
            network.world.run()
            [outcome] = self.successResultOf(begun)
            assert outcome.status is status and not network.peer.messages
            assert outcome.reply.code == int(said[:3])

    def test_a_success_before_the_end_is_no_success(self) -> None:
        """A 250 amid the content answers nothing."""
        network = Network()
        network.world.slow = True
        begun = network.begin(stored(LARGE), recipients("r@peer.example"))
        network.peer.transports[0].arrive(b"250 2.0.0 taken\r\n")
        network.world.run()
        [outcome] = self.successResultOf(begun)
        assert outcome.status is Status.DEFERRED and not network.peer.messages

    def test_cancelled_amid_the_content(self) -> None:
        """No dot, no other exchange: the connection is gone."""
        network = Network(in_thread=lambda *_: Deferred())
        begun = network.begin(stored(LARGE), recipients("r@peer.example"))
        begun.addErrback(lambda _: None)
        begun.cancel()
        network.world.run()
        assert network.peer.transports[0].aborted and not network.peer.messages
        assert not network.world.getDelayedCalls()

    @settings(deadline=None, max_examples=60)
    @given(
        st.lists(st.sampled_from([b".", b"..", b"\r\n", b"\r\n.\r\n", b"a", b"\r\n."]), max_size=40)
    )
    def test_any_text_arrives_as_it_was(self, pieces: list[bytes]) -> None:
        """With a CRLF added where its last line had none (RFC 5321 section 4.1.1.4)."""
        octets = b"".join(pieces)
        network = Network()
        assert self.send(network, message(octets)).status is Status.PASSED_ON
        whole = octets if octets.endswith(b"\r\n") or not octets else octets + b"\r\n"
        assert network.peer.messages == [whole]


class TestForms(SynchronousTestCase):
    def send(self, extensions: tuple[str, ...], mail: Message, *to: str) -> tuple[Any, Peer]:
        network = Network(Peer(extensions=extensions))
        [outcome, *_] = self.successResultOf(
            network.begin(mail, recipients(*to or ("r@peer.example",)))
        )
        return outcome, network.peer

    def test_binary_goes_by_bdat_where_that_is_offered(self) -> None:
        """RFC 3030: octets as they are, from memory and from a file."""
        octets = b"Subject: x\r\n\r\n\0\n.\r\n\xff\r"
        for size in (1, 20000):
            for mail in (
                message(octets * size, body="BINARYMIME"),
                stored(octets * size, body="BINARYMIME"),
            ):
                outcome, peer = self.send(FULL, mail)
                assert outcome.status is Status.PASSED_ON
                assert peer.messages == [mail.content.open().read()]
                assert any(line.endswith(" LAST") for line in peer.said)
                assert "BODY=BINARYMIME" in peer.said[1]

    def test_binary_is_re_encoded_where_it_is_not(self) -> None:
        """CHUNKING alone is not enough (RFC 3030 section 3)."""
        octets = b"MIME-Version: 1.0\r\nContent-Type: a/b\r\nContent-Transfer-Encoding: binary\r\n"
        octets += b"\r\n\0\xff"
        outcome, peer = self.send(("CHUNKING", "8BITMIME"), message(octets, body="BINARYMIME"))
        assert outcome.status is Status.RELAYED
        assert peer.messages[0].endswith(b"base64\r\n\r\nAP8=\r\n")
        assert "BODY" not in peer.said[1]

    def test_eight_bit_is_said_re_encoded_or_not_there(self) -> None:
        """RFC 6152 section 3: BODY where offered; without, only what has 8-bit octets changes."""
        eight = message("Subject: x\r\n\r\né\r\n".encode(), body="8BITMIME")
        outcome, peer = self.send(("8BITMIME",), eight)
        assert "BODY=8BITMIME" in peer.said[1] and peer.messages == [eight.content.at_hand]
        outcome, peer = self.send((), eight)
        assert "BODY" not in peer.said[1] and peer.messages[0].isascii()
        plain = message(b"Subject: x\r\n\r\nx\r\n", body="8BITMIME")
        outcome, peer = self.send((), plain)
        assert peer.messages == [plain.content.at_hand] and outcome.status is Status.RELAYED

    def test_what_cannot_be_re_encoded_comes_back(self) -> None:
        """554 5.6.3, and nothing is sent."""
        signed = b"Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n\xe9\r\n--b--"
        outcome, peer = self.send((), message(signed, body="8BITMIME"))
        assert outcome.status is Status.FAILED and outcome.reply.status == "5.6.3"
        assert not any(line.startswith("MAIL") for line in peer.said)
        huge = stored(b"\xff", size=MAX_CONVERTED + 1, body="BINARYMIME")
        outcome, peer = self.send((), huge)
        assert outcome.reply.status == "5.6.3" and "large" in outcome.reply.text

    def test_smtputf8_where_it_is_offered(self) -> None:
        """RFC 6531 section 3.4: said for addresses and headers that need it, for no others."""
        unicode = message("Subject: é\r\n\r\n".encode(), smtputf8=True, body="8BITMIME")
        outcome, peer = self.send(FULL, unicode)
        assert "SMTPUTF8" in peer.said[1].split() and outcome.status is Status.PASSED_ON
        outcome, peer = self.send(FULL, message(), "é@peer.example")
        assert "SMTPUTF8" in peer.said[1].split() and "RCPT TO:<é@peer.example>" in peer.said[2]
        outcome, peer = self.send(FULL, message())
        assert "SMTPUTF8" not in peer.said[1].split()

    def test_smtputf8_where_it_is_not(self) -> None:
        """Domains become A-labels; what has no other spelling comes back."""
        outcome, peer = self.send((), message(smtputf8=True), "r@bücher.example")
        assert peer.said[2] == "RCPT TO:<r@xn--bcher-kva.example>"
        assert outcome.status is Status.RELAYED and "SMTPUTF8" not in peer.said[1]
        outcome, peer = self.send((), message(smtputf8=True), "é@peer.example", "r@peer.example")
        assert outcome.reply.code == 553 and outcome.reply.status == "5.6.7"
        assert len(peer.messages) == 1
        sender = Mailbox("é", "client.example")
        outcome, peer = self.send((), message(smtputf8=True, sender=sender))
        assert outcome.reply.status == "5.6.7" and not peer.messages
        for extensions in ((), ("8BITMIME",)):
            unicode = message("To: é@x.example\r\n\r\n".encode(), smtputf8=True)
            outcome, peer = self.send(extensions, unicode)
            assert outcome.reply.status == "5.6.9" and not peer.messages

    def test_smtputf8_that_only_the_word_asks_for(self) -> None:
        """Text in header fields has a spelling in ASCII, and so have domains; bodies stay."""
        octets = "Subject: Jürgen\r\nTo: <r@bücher.example>\r\n\r\né\r\n".encode()
        mail = message(octets, smtputf8=True, body="8BITMIME")
        outcome, peer = self.send(("8BITMIME",), mail)
        assert outcome.status is Status.RELAYED and peer.said[1].endswith("BODY=8BITMIME")
        head = b"Subject: =?utf-8?q?J=C3=BCrgen?=\r\nTo: <r@xn--bcher-kva.example>\r\n"
        assert peer.messages == [head + "\r\né\r\n".encode()]
        outcome, peer = self.send((), mail)
        assert peer.messages[0].startswith(head) and peer.messages[0].isascii()
        # Nobody can tell its parts, but the header says nothing that hosts cannot read.
        broken = "Subject: x\r\nContent-Type: multipart/mixed\r\n\r\né\r\n".encode()
        outcome, peer = self.send(("8BITMIME",), message(broken, smtputf8=True))
        assert peer.messages == [broken]
        outcome, peer = self.send(FULL, message(b"Subject: x\r\n\r\nx\r\n", smtputf8=True))
        assert "SMTPUTF8" not in peer.said[1].split()

    def test_large_smtputf8_mail_is_judged_by_its_header(self) -> None:
        """Nobody reads all of it to know whether some part of it has a name in UTF-8."""
        self.patch(form, "MAX_CONVERTED", 2000)
        for head, status in ((b"Subject: x", Status.RELAYED), (b"Subject: \xff", Status.FAILED)):
            octets = head + b"\r\n\r\n" + (b"\xff" * 900 + b"\r\n") * 3
            outcome, peer = self.send(("8BITMIME",), stored(octets, smtputf8=True))
            assert outcome.status is status and bool(peer.messages) is (status is Status.RELAYED)

    def test_a_store_gets_header_fields_as_readers_see_them(self) -> None:
        """LMTP: a store that says nothing of SMTPUTF8 gives them to readers nonetheless."""
        octets = "Subject: Jürgen\r\nTo: é@x.example\r\n\r\né\r\n".encode()
        network = Network(Peer(extensions=("8BITMIME",), lmtp=True), lmtp=True, final=True)
        mail = message(octets, smtputf8=True)
        [outcome] = self.successResultOf(network.begin(mail, recipients("r@peer.example")))
        assert network.peer.messages == [octets] and outcome.status is Status.DELIVERED

    def test_eight_bit_octets_that_nobody_announced(self) -> None:
        """The label is true, whatever the client said of it."""
        mail = message("Subject: é\r\n\r\né\r\n".encode())
        outcome, peer = self.send(("8BITMIME",), mail)
        assert "BODY=8BITMIME" in peer.said[1] and peer.messages == [mail.content.at_hand]
        outcome, peer = self.send((), mail)
        assert outcome.status is Status.RELAYED and peer.messages[0].isascii()

    def test_domains_that_are_none(self) -> None:
        """A label that IDNA refuses has no spelling here."""
        outcome, _ = self.send((), message(smtputf8=True), f"r@{'é' * 63}.example")
        assert outcome.reply.status == "5.6.7"


class TestParameters(SynchronousTestCase):
    def said(self, extensions: tuple[str, ...], mail: Message, to: Any) -> list[str]:
        network = Network(Peer(extensions=extensions))
        self.successResultOf(network.begin(mail, [to]))
        return network.peer.said

    def test_dsn_is_passed_on_where_it_is_offered(self) -> None:
        """RFC 3461 section 5.2.1; ORCPT is added where the client gave none."""
        [plain] = recipients("r@peer.example")
        mail = message(envid="E 1", ret="HDRS")
        asked = replace(plain, notify=frozenset({"SUCCESS"}), orcpt="rfc822;o@x.example")
        lines = self.said(("DSN", "SIZE"), mail, asked)
        assert lines[1] == "MAIL FROM:<s@client.example> SIZE=22 RET=HDRS ENVID=E+201"
        assert lines[2] == "RCPT TO:<r@peer.example> NOTIFY=SUCCESS ORCPT=rfc822;o@x.example"
        redirected = replace(plain, came_from=(Mailbox("list", "us.example"),))
        assert self.said(("DSN",), mail, redirected)[2].endswith("ORCPT=rfc822;list@us.example")
        lines = self.said((), mail, asked)
        assert lines[1:3] == ["MAIL FROM:<s@client.example>", "RCPT TO:<r@peer.example>"]

    def test_a_lists_owner_gets_no_foreign_envid(self) -> None:
        """RFC 3461 section 5.2.7.3: what a list sends on is its own."""
        [plain] = recipients("r@peer.example")
        lines = self.said(
            ("DSN",),
            message(envid="E1", ret="FULL"),
            replace(plain, sender=Mailbox("o", "l.example")),
        )
        assert lines[1] == "MAIL FROM:<o@l.example>"

    def test_an_orcpt_in_unicode_needs_smtputf8(self) -> None:
        """RFC 6533 section 3."""
        [plain] = recipients("r@peer.example")
        orcpt = replace(plain, orcpt="utf-8;é@x.example")
        assert "ORCPT" not in self.said(("DSN",), message(), orcpt)[2]
        assert "ORCPT=utf-8;" in self.said(("DSN", "SMTPUTF8"), message(), orcpt)[2]

    def test_what_no_line_can_say_is_refused(self) -> None:
        """An address that is none never reaches the wire."""
        network = Network(Peer(extensions=()))
        odd = replace(recipients("r@peer.example")[0], address=Mailbox("a\r\nDATA", "peer.example"))
        [outcome] = self.successResultOf(network.begin(message(), [odd]))
        assert outcome.status is Status.FAILED and outcome.reply.status == "5.1.3"
        assert len(network.peer.said) == 1

    def test_an_envelope_that_no_line_can_say(self) -> None:
        """An ENVID that came from elsewhere than SMTP may be anything."""
        network = Network(Peer(extensions=("DSN",)))
        bad = message(envid="x" * 500)
        [outcome] = self.successResultOf(network.begin(bad, recipients("r@peer.example")))
        assert outcome.status is Status.PASSED_ON and "ENVID" not in network.peer.said[1]
        odd = message(sender=Mailbox("a\r\nb", "x.example"))
        [outcome] = self.successResultOf(network.begin(odd, recipients("r@peer.example")))
        assert outcome.status is Status.FAILED and outcome.reply.status == "5.1.7"
