"""STARTTLS: what is injected in the clear, by either side, and what is taken away."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scripted_peer import Network, Peer, message, recipients
from tables_kit import INBOUND, MAILBOXES, Composed, inbound

from mailframe.message import NextHop, Outcome, Status
from mailframe.settings import TlsSettings
from mailframe.smtp.client import ClientDialogue, Replied
from mailframe.smtp.command import Ehlo, StartTls
from mailframe.testing.certificates import make_authority
from mailframe.wire.certificates import Certificates

AUTH = """
[[auth]]
plugin = "passwords"
file = "users"
"""


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Certificates]:
    live = tmp_path_factory.mktemp("live")
    make_authority().issue("mx.example.org").write_live(live)
    yield Certificates(TlsSettings(live), "mx.example.org")


#: octets right behind STARTTLS in the clear -> their source
INJECTED = {
    b"NOOP\r\n": "CVE-2011-0411 Postfix",
    b"EHLO evil.example\r\nMAIL FROM:<evil@client.example>\r\nRCPT TO:<bob@example.org>\r\n"
    b"DATA\r\nevil\r\n.\r\n": "CVE-2011-0411 Postfix, a whole message",
    b"MAIL FROM:<evil@client.example>\r\n": "CVE-2021-38371 Exim",
    b"AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n": "CVE-2011-1430 IPswitch, credentials",
    b"STARTTLS\r\n": "STARTTLS twice",
    b"QUIT\r\n": "the end of the session",
    b"RSET": "half a line, to be ended by the first octets in TLS (CVE-2021-33515 Dovecot)",
    b"EHLO evil.example\r\nX": "a line and a half",
    b"\r\n": "an empty line",
    b"x" * 5000: "more than a line may have",
    b"BDAT 1000 LAST\r\n": "a chunk that would swallow what comes in TLS",
}


@pytest.mark.parametrize("injected", INJECTED, ids=INJECTED.values())
def test_commands_injected(tmp_path: Path, certificates: Certificates, injected: bytes) -> None:
    """RFC 3207 section 4.2: forgotten; nothing of it is answered or done in TLS."""
    place = inbound(tmp_path, certificates=certificates)
    talk = place.greeted()
    talk.send(b"STARTTLS\r\n" + injected)
    assert talk.codes() == ["220"]
    assert talk.start_tls() == []
    assert talk.protocol.session.client.hello == ""
    assert talk.codes("MAIL FROM:<a@client.example>") == ["503"]
    assert talk.say("EHLO client.example")[-1] == "250 HELP"
    assert talk.mail("bob") == ["250", "250"]
    assert talk.message("Subject: fine")[:3] == "250"
    assert place.bodies == [b"Subject: fine\r\n"]


#: octets of the server right behind its 220, in one piece with it -> their source
RESPONSES = {
    b"250-evil.example\r\n250 AUTH PLAIN\r\n": "CVE-2021-39272 fetchmail's kin: an EHLO reply",
    b"250 2.1.0 OK\r\n250 2.1.5 OK\r\n354 go\r\n250 2.0.0 taken\r\n": "NO STARTTLS, USENIX 2021",
    b"535 5.7.8 no\r\n": "a failure to be believed in TLS",
    b"421 4.0.0 bye\r\n": "the end of the session",
    b"250-half of": "half a reply, to be ended by the first octets in TLS",
    b"garbage": "no reply at all",
}


@pytest.mark.parametrize("cut", [0, 1], ids=["whole", "bytes"])
@pytest.mark.parametrize("injected", RESPONSES, ids=RESPONSES.values())
def test_responses_injected(injected: bytes, cut: int) -> None:
    """The client discards them; in TLS it asks anew and hears only what is said there."""
    dialogue = ClientDialogue()
    dialogue.send(Ehlo("us.example"))
    _tell(dialogue, b"220 mx\r\n250-mx.example\r\n250-AUTH LOGIN\r\n250 STARTTLS\r\n", cut)
    dialogue.send(StartTls())
    _tell(dialogue, b"220 2.0.0 go\r\n" + injected, cut)
    heard = _heard(dialogue)
    assert [each.reply.code for each in heard] == [220, 250, 220]
    dialogue.tls_started()
    assert not dialogue.over and "AUTH" not in dialogue.extensions
    dialogue.send(Ehlo("us.example"))
    _tell(dialogue, b"250-mx.example\r\n250 SIZE 1\r\n", cut)
    assert [each.reply.code for each in _heard(dialogue)] == [250]
    assert dialogue.extensions.size == 1 and not dialogue.extensions.mechanisms


def _tell(dialogue: ClientDialogue, octets: bytes, cut: int) -> None:
    for at in range(0, len(octets), cut or len(octets)):
        dialogue.receive_data(octets[at : at + (cut or len(octets))])


def _heard(dialogue: ClientDialogue) -> list[Replied]:
    heard = []
    while (came := dialogue.next_event()) is not None:
        assert isinstance(came, Replied), came
        heard.append(came)
    return heard


#: how a man in the middle keeps TLS away -> the server's replies
STRIPPED: dict[str, dict[str, Any]] = {
    "STARTTLS is not in the reply to EHLO": {"extensions": ("PIPELINING",)},
    "STARTTLS is overwritten (XXXXXXXA, seen at carriers 2014)": {"extensions": ("XXXXXXXA",)},
    "STARTTLS is refused": {"extensions": ("STARTTLS",), "says": {"STARTTLS": "454 4.7.0 no"}},
    "STARTTLS is unknown": {"extensions": ("STARTTLS",), "says": {"STARTTLS": "502 5.5.1 what"}},
    "EHLO is unknown, HELO offers nothing": {"says": {"EHLO": "502 5.5.1 what"}},
}


@pytest.mark.parametrize("tls", ["require", "verify"])
@pytest.mark.parametrize("how", STRIPPED)
def test_stripped_on_the_way_out(how: str, tls: Any) -> None:
    """RFC 3207 section 6: where TLS is demanded, nothing of the mail is said without."""
    outcome, said = _send(how, NextHop("peer.example", tls=tls))
    assert outcome.status is Status.DEFERRED
    assert {line.split()[0] for line in said} <= {"EHLO", "HELO", "STARTTLS", "QUIT"}


@pytest.mark.parametrize("how", STRIPPED)
def test_no_password_without_tls(how: str) -> None:
    """RFC 4954 section 9: a login is not sent in the clear because TLS was taken away."""
    hop = NextHop("peer.example", user="us", password="secret")
    outcome, said = _send(how, hop)
    assert outcome.status is Status.DEFERRED
    assert not any(line.startswith(("AUTH", "MAIL")) for line in said)


def _send(how: str, hop: NextHop) -> tuple[Outcome, list[str]]:
    network = Network(Peer(**STRIPPED[how]))
    found: list[Any] = []
    network.begin(message(), recipients("r@peer.example"), hop).addCallback(found.extend)
    network.pass_time(400)
    [outcome] = found
    return outcome, [line for session in network.peer.sessions for line in session]


#: what a client says before TLS -> the reply (RFC 4954 section 4, RFC 3207 section 4)
BEFORE_TLS = {
    "AUTH PLAIN AGFsaWNlAHNlY3JldA==": "538",
    "AUTH PLAIN": "538",
    "AUTH LOGIN": "538",
    "AUTH LOGIN YWxpY2U=": "538",
    "AUTH CRAM-MD5": "538",
    "auth plain AGFsaWNlAHNlY3JldA==": "538",
    "MAIL FROM:<a@client.example>": "530",
    "MAIL FROM:<a@client.example> AUTH=<>": "530",
    "MAIL FROM:<>": "530",
}


@pytest.mark.parametrize("line", BEFORE_TLS)
def test_before_tls_at_submission(tmp_path: Path, certificates: Certificates, line: str) -> None:
    """A password is neither offered, asked for nor taken in the clear; no mail either."""
    place = Composed(
        tmp_path, INBOUND + AUTH, files={**MAILBOXES, "users": ""}, certificates=certificates,
        requires=("tls", "auth"),
    )  # fmt: skip
    talk = place.connect()
    assert not any("AUTH" in row for row in talk.say("EHLO client.example"))
    assert talk.codes(line) == [BEFORE_TLS[line]]
    assert talk.protocol.session.client.user is None
    talk.say("STARTTLS")
    talk.start_tls()
    assert any("AUTH PLAIN LOGIN" in row for row in talk.say("EHLO client.example"))
    assert talk.codes("MAIL FROM:<a@client.example>") == ["530"]
