"""Strangers cannot exhaust it: every way to ask for more than a client may have, in small.

Time is a Clock's; memory is what is kept, counted or measured by tracemalloc.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from OpenSSL import SSL
from tables_kit import Place, Talk, inbound

from mailframe.mime.entity_checks import CannotConvert
from mailframe.mime.seven_bit import Tolerance, re_encoded, to_seven_bit
from mailframe.settings import Limits, TlsSettings
from mailframe.testing.certificates import make_authority
from mailframe.testing.values import client, content, envelope, site
from mailframe.wire.certificates import Certificates
from mailframe_plugins.filter_sender_owns_address import SenderOwnsAddress, Settings

TIMED_OUT = ["421 4.4.2 Timeout, closing the connection"]
MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Certificates]:
    live = tmp_path_factory.mktemp("live")
    make_authority().issue("mx.example.org").write_live(live)
    yield Certificates(TlsSettings(live), "mx.example.org")


def drip(talk: Talk, octets: bytes, every: int, most: int) -> int:
    """Seconds until the server lets go of a client that sends an octet so often."""
    for second in range(0, most, every):
        if talk.wire.closed:
            return second
        talk.send(octets[second // every % len(octets) :][:1])
        talk.place.clock.pump([1.0] * every)
    raise AssertionError("the client was served for ever")


def test_slowloris_in_a_command() -> None:
    """RFC 5321 section 4.5.3.2.7: five minutes for a whole command, octets do not count."""
    talk = Place().greeted()
    assert drip(talk, b"NOOPNOOP", every=10, most=900) <= 310
    assert talk.heard() == TIMED_OUT


@pytest.mark.parametrize("text", [b"x", b"x\r\n", b"\r\n.\r"], ids=["a line", "lines", "dots"])
def test_slowloris_in_data(text: bytes) -> None:
    """An octet a minute passes the wait for each block, but not the hour for all."""
    place = Place()
    talk = place.greeted()
    talk.mail("bob")
    talk.say("DATA")
    assert drip(talk, text, every=60, most=9000) <= 3720
    assert talk.heard() == TIMED_OUT
    assert talk.closed and place.store.drafts[0].aborted and place.reception.sessions == 0


def test_slowloris_within_a_chunk() -> None:
    """The same for BDAT."""
    place = Place()
    talk = place.greeted()
    talk.mail("bob")
    talk.send(b"BDAT 100000 LAST\r\n")
    assert drip(talk, b"x", every=60, most=9000) <= 3720
    assert talk.heard() == TIMED_OUT


def test_slowloris_between_chunks() -> None:
    """A chunk of one octet now and then is one slow message, too."""
    place = Place()
    talk = place.greeted()
    talk.mail("bob")
    for _ in range(100):
        if talk.wire.closed:
            break
        talk.send(b"BDAT 1\r\nx")
        place.clock.pump([1.0] * 60)
    assert talk.wire.closed


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_slowloris_in_the_handshake(certificates: Certificates, tls: str) -> None:
    """A minute for TLS, whatever trickles in; nothing of the session is left."""
    place = Place(certificates=certificates, tls=tls)
    talk = place.connect()
    if tls == "starttls":
        talk.say("EHLO client.example", "STARTTLS")
    hello = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
    hello.set_connect_state()
    with pytest.raises(SSL.WantReadError):
        hello.do_handshake()
    octets = hello.bio_read(4096)
    for at in range(90):
        if talk.wire.aborted:
            break
        talk.wire.protocol.dataReceived(octets[at : at + 1])
        place.clock.pump([1.0])
    assert talk.wire.aborted and at <= 62
    talk.disconnect()
    assert place.reception.sessions == 0


def test_a_crowd_of_slow_clients_passes() -> None:
    """While they hold all places others are told to come again; after the wait all is free."""
    place = Place(limits=Limits(connections=50, connections_per_client=50))
    crowd = [place.connect() for _ in range(50)]
    assert place.connect().greeting[0].startswith("421 4.7.0")
    place.clock.pump([1.0] * 302)
    assert all(talk.closed for talk in crowd)
    assert place.reception.sessions == 0
    assert place.connect().greeting[0].startswith("220")


@pytest.mark.parametrize("line", [b"NOOP\r\n", b"EHLO client.example\r\n", b"HELP\r\n", b"x\r\n"])
def test_replies_that_nobody_reads(line: bytes) -> None:
    """What waits for the client is bounded, what it sends is not read, and then it is dropped."""
    limits = Limits(unread_replies=4096, commands=10**9, errors=10**9)  # type: ignore[arg-type]
    place = Place(limits=limits)
    talk = place.connect()
    talk.wire.held = 0
    for _ in range(1500):
        if talk.wire.reading:
            talk.send(line * 50)
    assert talk.wire.held < 4096 + 50 * 400
    assert not talk.wire.reading
    assert talk.protocol.session.dialogue.buffered < 3 << 16
    place.clock.pump([1.0] * 62)
    assert talk.wire.aborted


#: what precedes fifty megabytes without a line end, and the reply once the line ends
ENDLESS = {
    "a command": ([], b"", "500"),
    "MAIL": ([], b"MAIL FROM:<", "500"),
    "AUTH": ([], b"AUTH PLAIN ", "500"),
    "DATA": (["MAIL FROM:<>", "RCPT TO:<bob@example.org>", "DATA"], b"Subject: ", "552"),
    "a body": (["MAIL FROM:<>", "RCPT TO:<bob@example.org>", "DATA"], b"A: b\r\n\r\n", "552"),
    "a refused BDAT": ([], b"BDAT 99999999999\r\n", ""),
    "BDAT": (["MAIL FROM:<>", "RCPT TO:<bob@example.org>"], b"BDAT 99999999999\r\n", ""),
}


@pytest.mark.parametrize("where", ENDLESS)
def test_fifty_megabytes_without_a_line_end(tmp_path: Path, where: str) -> None:
    """They are dropped as they come: memory stays, and the session goes on."""
    before, head, code = ENDLESS[where]
    limits = Limits(message_size=MEGABYTE, header_size=65536)  # type: ignore[arg-type]
    talk = inbound(tmp_path, limits=limits).greeted()
    talk.say(*before)
    block = b"x" * (1 << 18)
    tracemalloc.start()
    try:
        talk.send(head)
        for _ in range(200):
            talk.send(block)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5 * MEGABYTE, peak
    assert talk.protocol.session.dialogue.buffered < 1 << 16
    if code:
        talk.send(b"\r\n.\r\n" if code == "552" else b"\r\n")
        assert talk.codes()[-1] == code
        assert talk.codes("NOOP") == ["250"]


@pytest.mark.parametrize("line", [b"X: y\r\n", b" folded\r\n", b"x:\r\n", b"\t\r\n"])
@pytest.mark.parametrize("cut", [7, 65536])
def test_a_hundred_thousand_header_lines(tmp_path: Path, line: bytes, cut: int) -> None:
    """552 5.3.4 at the end; nothing is stored, and it does not take long."""
    place = inbound(tmp_path)
    talk = place.greeted()
    talk.mail("bob")
    talk.say("DATA")
    octets = b"Subject: x\r\n" + line * (100_000 if cut > 7 else 10_000)
    began = time.perf_counter()
    for at in range(0, len(octets), cut):
        talk.send(octets[at : at + cut])
    assert time.perf_counter() - began < 5
    assert talk.say("", "x", ".") == ["552 5.3.4 Header section exceeds the limit"]
    assert place.bodies == [] and talk.codes("NOOP") == ["250"]


def test_ten_thousand_recipients(tmp_path: Path) -> None:
    """A thousand are taken; then 452 4.5.3 (RFC 5321 section 4.5.3.1.10), then 421."""
    place = inbound(tmp_path)
    talk = place.greeted()
    talk.say("MAIL FROM:<>")
    codes: list[str] = []
    for start in range(0, 10_000, 100):
        if not talk.closed:
            codes += talk.codes(*(f"RCPT TO:<b{n}@example.org>" for n in range(start, start + 100)))
    assert codes[:1000] == ["250"] * 1000
    assert set(codes[1000:-1]) == {"452"} and codes[-1] == "421"
    assert len(codes) < 2100


def test_recipients_beyond_the_limit_can_come_again(tmp_path: Path) -> None:
    """Who has a thousand and one sends the message to the first thousand."""
    place = inbound(tmp_path)
    talk = place.greeted()
    talk.say("MAIL FROM:<>")
    for start in range(0, 1001, 77):
        talk.say(*(f"RCPT TO:<b{n}@example.org>" for n in range(start, min(1001, start + 77))))
    assert talk.message("x")[:3] == "250"
    assert len(place.entries[0].pending) == 1000


@pytest.mark.parametrize("protocol", ["smtp", "lmtp"])
def test_one_recipient_ten_thousand_times(protocol: str) -> None:
    """The same address again and again: a limit holds, LMTP would owe a reply for each."""
    talk = Place(protocol=protocol).connect()
    talk.say("LHLO c" if protocol == "lmtp" else "EHLO c", "MAIL FROM:<>")
    for _ in range(100):
        talk.send(b"RCPT TO:<bob@example.org>\r\n" * 100)
    assert talk.codes()[-1] != "250"


#: commands without end -> how many are answered before the 421
WITHOUT_END = {
    b"NOOP\r\n": 100,
    b"RSET\r\n": 100,
    b"EHLO client.example\r\n": 100,
    b"HELP\r\n": 100,
    b"VRFY bob\r\n": 100,
    b"EXPN list\r\n": 20,
    b"FOO\r\n": 20,
    b"\r\n": 20,
    b"DATA\r\n": 20,
    b"BDAT 0 LAST\r\n": 20,
    b"STARTTLS\r\n": 20,
    b"AUTH PLAIN\r\n": 20,
    b"MAIL FROM:<a b>\r\n": 20,
    b"MAIL FROM:<>\r\nRSET\r\n": 200,
    b"MAIL FROM:<>\r\nRCPT TO:<bob@example.org>\r\nRSET\r\n": 300,
    b"MAIL FROM:<>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\na\nb\r\n.\r\n": 80,
}


@pytest.mark.parametrize("lines", WITHOUT_END, ids=ascii)
def test_commands_without_end(tmp_path: Path, lines: bytes) -> None:
    """A session that brings no mail ends with a 421 after so many."""
    talk = inbound(tmp_path).greeted()
    talk.send(lines * 400)
    codes = [row[:3] for row in talk.heard() if row[3] == " "]
    assert codes[-1] == "421" and talk.closed
    assert WITHOUT_END[lines] - 5 <= len(codes) - 1 <= WITHOUT_END[lines] + 5


def test_chunks_of_nothing_without_end(tmp_path: Path) -> None:
    """BDAT 0 is a NOOP that brings no mail."""
    talk = inbound(tmp_path).greeted()
    talk.mail("bob")
    talk.send(b"BDAT 0\r\n" * 5000)
    assert "421" in talk.codes()


def test_renegotiation_is_refused(certificates: Certificates) -> None:
    """CVE-2011-1473, CVE-2009-3555: TLS 1.2 has one handshake, which costs the server most."""
    place = Place(certificates=certificates, tls="implicit")
    talk = place.connect()
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    talk.tls = tls = SSL.Connection(context, None)
    tls.set_connect_state()
    _shake(talk)
    assert tls.get_protocol_version_name() == "TLSv1.2"
    assert talk.heard()[0].startswith("220")
    server = talk.wire.protocol._tlsConnection
    for _ in range(3):
        tls.renegotiate()
        _shake(talk)
    assert server.total_renegotiations() == 0


def _shake(talk: Talk) -> None:
    """As much of a handshake as the server goes along with."""
    for _ in range(4):
        try:
            talk.tls.do_handshake()
        except SSL.WantReadError:
            pass
        except SSL.Error:
            return
        talk._flush()
        talk.place.clock.advance(0)
        octets = talk.wire.value()[talk.seen :]
        talk.seen += len(octets)
        if octets:
            talk.tls.bio_write(octets)


BODY = "ü\r\n".encode()


def nested(depth: int) -> bytes:
    """Multiparts in multiparts, with 8-bit text in the middle."""
    head = b"From: <a@client.example>\r\nMIME-Version: 1.0\r\n"
    opening = b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n"
    for level in range(depth):
        head += opening % (level, level)
    return head + b"\r\n" + BODY + b"".join(b"\r\n--b%d--\r\n" % n for n in reversed(range(depth)))


#: what makes a recursive or quadratic reader of MIME suffer
HOSTILE = {
    "20 levels": nested(20),
    "31 levels": nested(31),
    "10,000 levels": nested(10_000),
    "messages in messages": b"From: <a@b.example>\r\nMIME-Version: 1.0\r\n"
    + b"Content-Type: message/rfc822\r\n\r\n" * 10_000 + BODY,
    "20,000 parts": b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    + b"--b\r\n\r\n\xc3\xbc\r\n" * 20_000 + b"--b--\r\n",
    "semicolons": b"MIME-Version: 1.0\r\nContent-Type: a/b" + b";" * 100_000 + b"\r\n\r\n" + BODY,
    "quotes": b"MIME-Version: 1.0\r\nContent-Type: a/b" + b'; a="' * 20_000 + b"\r\n\r\n" + BODY,
    "blanks after a delimiter": b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b"
    b"\r\n\r\n" + (b"\r\n--b" + b" " * 50_000 + b"x") * 20,
    "comments in From": b"From: " + b"(" * 4000 + b"\r\n\r\n" + BODY,
    "quotes in From": b"From: " + b'"' * 4000 + b"\r\n\r\n" + BODY,
    "many authors": b"From: " + b"a@b," * 1000 + b"\r\n\r\n" + BODY,
    "escaped quotes in To": b"To: x" + b'\\"' * 30_000 + b"\xff\r\n\r\n" + BODY,
    "brackets in To": b"To: x" + b'<"' * 30_000 + b"\xff\r\n\r\n" + BODY,
    "at signs in To": b"To: x" + b'\xff@ "a"@' * 7_000 + b"\r\n\r\n" + BODY,
    "words in a report": b"MIME-Version: 1.0\r\nContent-Type: message/delivery-status\r\n\r\nX: "
    + b"\xff " * 1_000_000 + b"\r\n",
    "words in many heads": b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    + (b"--b\r\nX: " + b"\xff " * 30_000 + b"\r\n\r\nx\r\n") * 50 + b"--b--\r\n",
    "a preamble": b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    + b"\xff\r\n" * 1_000_000 + b"--b\r\n\r\nx\r\n--b--\r\n",
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_nested_mime(what: str) -> None:
    """In the filter that reads headers and in the re-encoding: an answer in bounded time."""
    octets, began = HOSTILE[what], time.perf_counter()
    owns = SenderOwnsAddress(Settings(domains=("client.example",), check_from=True), site())
    answer = owns.content(envelope(client=client(user="a")), content(octets))
    assert answer is None or not answer.positive  # type: ignore[union-attr]
    for tolerance in (Tolerance(), Tolerance(True), Tolerance(True, True)):
        try:
            assert re_encoded(octets, tolerance).isascii() or tolerance.eight_bit
        except CannotConvert:
            pass
    assert time.perf_counter() - began < 3


def test_parameters_without_end_in_a_part() -> None:
    """Half a megabyte of `;` in a Content-Type must not take seconds to re-encode."""
    inner = b"--b\r\nContent-Type: multipart/mixed" + b";" * 500_000 + b"\r\n\r\n" + BODY
    head = b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    began = time.process_time()
    with pytest.raises(CannotConvert):
        to_seven_bit(head + inner + b"--b--\r\n")
    assert time.process_time() - began < 0.3
