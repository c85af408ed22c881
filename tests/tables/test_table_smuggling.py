"""Smuggling: a second message hidden in the first, by every spelling of the end of data."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from scripted_peer import Network, Peer, message, recipients
from tables_kit import inbound

from mailframe.message import Status
from mailframe.smtp.transparency import Dotter

#: octets that some server took, or might take, for the end of data -> who, or by which rule
ENDS = {
    b"\n.\n": "CVE-2023-51764 Postfix, CVE-2023-51766 Exim",
    b"\n.\r\n": "CVE-2023-51765 Sendmail, CVE-2023-51766 Exim",
    b"\r\n.\n": "CVE-2023-51764 Postfix",
    b"\r.\r": "CVE-2023-51765 (SEC Consult's list)",
    b"\r\n.\r": "CVE-2024-27305 aiosmtpd",
    b"\r.\r\n": "CVE-2024-27305 aiosmtpd; Cisco Secure Email (CR as line end)",
    b"\r.\n": "SEC Consult's list",
    b"\n.\r": "SEC Consult's list",
    b"\r\n\0.\r\n": "SEC Consult's list: NUL before the dot",
    b"\r\n.\0\r\n": "SEC Consult's list: NUL after the dot",
    b"\0.\0": "NUL as line end",
    b"\r\r\n.\r\r\n": "qmail-like CR CR LF",
    b"\r\n.\r\r\n": "CR before the CRLF of the dot's line",
    b"\n\n.\n": "CVE-2023-51766 Exim, after an empty line",
    b"\r\n..\n": "a doubled dot ended by LF",
    b"\n\r.\n\r": "LF CR",
    b"\n.\n\r\n": "LF dot LF and an empty line",
}  # fmt: skip
#: spellings that are text, and no end either
HARMLESS = {
    b"\r\n..\r\n": "RFC 5321 section 4.5.2: a doubled dot is one dot of text",
    b"\r\n. \r\n": "RFC 5321 section 4.1.1.4: dot space is text",
    b"\r\n.\t\r\n": "RFC 5321 section 4.1.1.4: dot tab is text",
    b"\r\n .\r\n": "RFC 5321 section 4.1.1.4: space dot is text",
    b"\x85.\x85": "NEL is no line end",
    "\u2028.\u2028".encode(): "the line separator of Unicode is no line end",
    b"\x0b.\x0b": "vertical tab is no line end",
    b"\x0c.\x0c": "form feed is no line end",
}
HIDDEN = b"MAIL FROM:<evil@client.example>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\nevil"


@pytest.mark.parametrize("cut", [0, 1], ids=["whole", "bytes"])
@pytest.mark.parametrize("at_start", [False, True])
@pytest.mark.parametrize("end", ENDS, ids=ENDS.values())
def test_inbound_data(tmp_path: Path, end: bytes, at_start: bool, cut: int) -> None:
    """No other spelling ends the data; what holds one is refused and nothing of it is stored."""
    place = inbound(tmp_path)
    talk = place.greeted()
    talk.mail("bob")
    talk.say("DATA")
    octets = (b"" if at_start else b"Subject: x\r\n\r\nx") + end + HIDDEN + b"\r\n.\r\nNOOP\r\n"
    for at in range(0, len(octets), cut or len(octets)):
        talk.send(octets[at : at + (cut or len(octets))])
    assert talk.codes() == ["554", "250"]
    assert place.bodies == []


def test_inbound_data_with_a_real_end_refuses_only_that_message(tmp_path: Path) -> None:
    """RFC 5321 section 4.1.1.4: CRLF dot CRLF ends also what was refused."""
    place = inbound(tmp_path)
    talk = place.greeted()
    talk.mail("bob")
    talk.say("DATA")
    talk.send(b"a\nb\r\n.\r\n")
    assert talk.codes() == ["554"]
    talk.mail("bob")
    assert talk.message("Subject: fine")[:3] == "250"
    assert place.bodies == [b"Subject: fine\r\n"]


@pytest.mark.parametrize("end", HARMLESS, ids=HARMLESS.values())
def test_inbound_data_that_is_text(tmp_path: Path, end: bytes) -> None:
    """It is stored as one message, octet by octet, with the dots undone."""
    place = inbound(tmp_path)
    talk = place.greeted()
    talk.mail("bob")
    talk.say("DATA")
    talk.send(b"Subject: x\r\n\r\nx" + end + HIDDEN + b"\r\n.\r\n")
    assert talk.codes() == ["250"]
    text = b"Subject: x\r\n\r\nx" + end + HIDDEN + b"\r\n"
    assert place.bodies == [text.replace(b"\r\n.", b"\r\n")]


@pytest.mark.parametrize("end", ENDS, ids=ENDS.values())
def test_inbound_chunks(tmp_path: Path, end: bytes) -> None:
    """RFC 3030: BDAT counts; as text it is refused, as it could not be passed on by DATA."""
    place = inbound(tmp_path)
    talk = place.greeted()
    talk.mail("bob")
    octets = b"x" + end + HIDDEN + b"\r\n.\r\n"
    talk.send(b"BDAT %d LAST\r\n" % len(octets) + octets + b"NOOP\r\n")
    assert talk.codes() == ["554", "250"]
    assert place.bodies == []


@pytest.mark.parametrize("end", [*ENDS, *HARMLESS])
def test_inbound_binary(tmp_path: Path, end: bytes) -> None:
    """RFC 3030 section 3: BINARYMIME carries any octets, as one message, as they are."""
    place = inbound(tmp_path)
    talk = place.greeted()
    talk.say("MAIL FROM:<a@client.example> BODY=BINARYMIME", "RCPT TO:<bob@example.org>")
    octets = b"Subject: x\r\n\r\nx" + end + HIDDEN + b"\r\n.\r\n"
    talk.send(b"BDAT %d LAST\r\n" % len(octets) + octets + b"NOOP\r\n")
    assert talk.codes() == ["250", "250"]
    assert place.bodies == [octets]


@pytest.mark.parametrize("cut", [0, 1], ids=["whole", "bytes"])
@pytest.mark.parametrize("end", [*ENDS, *HARMLESS])
def test_inbound_normalized(tmp_path: Path, end: bytes, cut: int) -> None:
    """Of a neighbour that passes on what it was sent, with its dots doubled: one message or none.

    What is stored can be told to any next host: no spelling of the end is in it any more.
    """
    place = inbound(tmp_path, bare_lf="normalize")
    talk = place.greeted()
    talk.mail("bob")
    talk.say("DATA")
    text = b"Subject: x\r\n\r\nx" + end + HIDDEN
    octets = text.replace(b"\r\n.", b"\r\n..") + b"\r\n.\r\nNOOP\r\n"
    for at in range(0, len(octets), cut or len(octets)):
        talk.send(octets[at : at + (cut or len(octets))])
    refused = re.search(rb"\r(?!\n)|\0", octets) is not None
    assert talk.codes() == ["554" if refused else "250", "250"]
    assert len(place.bodies) == (not refused)
    for body in place.bodies:
        assert body.endswith(HIDDEN + b"\r\n")
        dotter = Dotter()
        wire = dotter.feed(body) + dotter.finish()
        assert re.findall(rb"[\r\n]\.[\r\n]", wire[:-3]) == []


#: lines after which client and server, or a relay between them, may not agree on what is a
#: command -> why, the replies
OUT_OF_STEP = {
    b"NOOP\n" + HIDDEN: ("a relay that takes LF for a line end reads a command", "500"),
    b"NOOP\n\r\n" + HIDDEN: ("LF, and CRLF at once", "500"),
    b"RSET\nNOOP\r\n" + HIDDEN: ("two commands for one, one for another", "500"),
    b"\n" + HIDDEN: ("an empty line by LF", "500"),
    b"BDAT 5 LASTT\r\n" + HIDDEN: ("RFC 3030: a chunk of unknown size, read as commands", "501"),
    b"BDAT abc\r\n" + HIDDEN: ("RFC 3030: a size that is none", "501"),
    b"BDAT 0x5\r\n" + HIDDEN: ("a size that strtol() reads otherwise", "501"),
    b"BDAT +5\r\n" + HIDDEN: ("a sign", "501"),
    b"BDAT  5\r\n" + HIDDEN: ("two spaces", "501"),
    b"BDAT\t5\r\n" + HIDDEN: ("a tab", "500"),
    b"BDAT 5\0\r\n" + HIDDEN: ("a NUL, where C ends the line", "500"),
    b"BDAT " + b"0" * 4000 + b"5\r\n" + HIDDEN: ("longer than a line may be", "500"),
}


@pytest.mark.parametrize("cut", [0, 1], ids=["whole", "bytes"])
@pytest.mark.parametrize("octets", OUT_OF_STEP, ids=[why for why, _ in OUT_OF_STEP.values()])
def test_commands_out_of_step(tmp_path: Path, octets: bytes, cut: int) -> None:
    """Refused for good, and the connection ends: nothing that follows is read as a command."""
    place = inbound(tmp_path)
    talk = place.greeted()
    talk.mail("bob")
    for at in range(0, len(octets), cut or len(octets)):
        talk.send(octets[at : at + (cut or len(octets))])
    talk.send(b"\r\n.\r\n")
    assert talk.codes() == [OUT_OF_STEP[octets][1], "421"]
    assert talk.closed
    assert place.bodies == []


@pytest.mark.parametrize("extensions", [(), ("PIPELINING", "8BITMIME", "CHUNKING")])
@pytest.mark.parametrize("end", ENDS, ids=ENDS.values())
def test_outbound(end: bytes, extensions: tuple[str, ...]) -> None:
    """However it came into the queue: no other host is ever sent it as text."""
    network = Network(Peer(extensions=extensions))
    mail = message(b"Subject: x\r\n\r\nx" + end + HIDDEN + b"\r\n")
    [outcome] = _now(network.begin(mail, recipients("r@peer.example")))
    assert (outcome.status, outcome.reply.status) == (Status.FAILED, "5.6.0")
    assert network.peer.messages == []
    assert all(end not in wire.value() for wire in network.peer.transports)
    assert all(wire.aborted for wire in network.peer.transports)


@pytest.mark.parametrize("extensions", [(), ("PIPELINING", "8BITMIME", "SMTPUTF8")])
@pytest.mark.parametrize(
    "text",
    [
        b".\r\n", b"..\r\n", b".x\r\n", b"a\r\n.\r\nb\r\n", b"a\r\n..\r\n", b"a\r\n.", b".",
        b"\r\n.\r\n\r\n.\r\n", b"a\r\n. \r\n", HIDDEN + b"\r\n.\r\n" + HIDDEN + b"\r\n",
    ],
)  # fmt: skip
def test_outbound_dots(text: bytes, extensions: tuple[str, ...]) -> None:
    """RFC 5321 section 4.5.2: any text arrives as one message, its dots as they were."""
    network = Network(Peer(extensions=extensions))
    [outcome] = _now(network.begin(message(text), recipients("r@peer.example")))
    assert outcome.status in (Status.RELAYED, Status.PASSED_ON)
    assert network.peer.messages == [text if text.endswith(b"\r\n") else text + b"\r\n"]
    assert network.peer.transports[0].value().count(b"\r\n.\r\n") == 1


@pytest.mark.parametrize("end", ENDS, ids=ENDS.values())
def test_outbound_binary_to_a_host_without_bdat(end: bytes) -> None:
    """RFC 3030 section 3: it is re-encoded, so that no octet of it is a line end of SMTP's."""
    network = Network(Peer(extensions=("8BITMIME",)))
    head = b"MIME-Version: 1.0\r\nContent-Type: a/b\r\nContent-Transfer-Encoding: binary\r\n\r\n"
    mail = message(head + b"x" + end + HIDDEN, body="BINARYMIME")
    [outcome] = _now(network.begin(mail, recipients("r@peer.example")))
    assert outcome.status is Status.RELAYED
    [got] = network.peer.messages
    assert b"evil" not in got and got.count(b"\n") == got.count(b"\r\n") == got.count(b"\r")


def _now(begun: object) -> list[object]:
    found: list[list[object]] = []
    begun.addCallback(found.append)  # type: ignore[attr-defined]
    return found[0]
