"""What other hosts take is taken, and can be written: to the next host, by our own client."""

from __future__ import annotations

import pytest

from mailframe.smtp.address import Mailbox
from mailframe.smtp.command import Command, Ehlo, Mail, Rcpt
from mailframe.smtp.grammar import parse_command, write_command
from mailframe.smtp.leniency import read_leniently
from mailframe.smtp.reply import Reply

REFUSED = Reply(501, "By the letter", "5.5.4")
LONG = "SRS0=Ab3d=KQ=sender.test=bounces+111111-22222222-alice=example.com"


@pytest.mark.parametrize(
    ("line", "written"),
    [
        (f"MAIL FROM:<{LONG}@fwd.test>", f"MAIL FROM:<{LONG}@fwd.test>"),
        ("MAIL FROM:<root@web_server.test>", "MAIL FROM:<root@web_server.test>"),
        ("MAIL FROM:<john..doe@dest.test>", 'MAIL FROM:<"john..doe"@dest.test>'),
        ("MAIL FROM:<john.@dest.test.>", 'MAIL FROM:<"john."@dest.test>'),
        ("MAIL FROM:scanner@dest.test", "MAIL FROM:<scanner@dest.test>"),
        ("MAIL FROM:<a@dest.test> AUTH=alice", "MAIL FROM:<a@dest.test> AUTH=<>"),
        ("RCPT TO: postmaster", "RCPT TO:<postmaster>"),
        (f"RCPT TO:<{'.' * 244}@dest.test>", f'RCPT TO:<"{"." * 244}"@dest.test>'),
    ],
)
def test_what_is_taken_can_be_written(line: str, written: str) -> None:
    """The next host is told a spelling that means the same mailbox."""
    octets = line.encode()
    assert isinstance(parse_command(octets), Reply) or "AUTH=" not in line
    command = read_leniently(octets, REFUSED)
    assert isinstance(command, Mail | Rcpt)
    assert write_command(command) == written.encode() + b"\r\n"
    read = Mailbox.parse(written.partition("<")[2].partition(">")[0]) if "@" in written else None
    assert read in (None, command.sender if isinstance(command, Mail) else command.recipient)


@pytest.mark.parametrize(
    "line",
    [
        b"MAIL FROM:<a@client.example>\nRCPT TO:<b@example.org>",
        b"MAIL FROM:a@client.example\rRSET",
        b"MAIL FROM:<a\xff@client.example>",
        b"EHLO a\nMAIL FROM:<a@client.example>",
        b"EHLO a\rb",
        b"EHLO \x85".replace(b"\x85", "\x85".encode()),
    ],
)
def test_no_second_line(line: bytes) -> None:
    """A line end is never read as a part of a command (RFC 5321 section 2.3.8)."""
    assert isinstance(read_leniently(line, REFUSED), Reply)


@pytest.mark.parametrize("line", [b"DATA now", b"BDAT\t5", b"MAILFROM:<a@client.example>", b""])
def test_the_rest_is_refused_as_before(line: bytes) -> None:
    """Only a hello, MAIL and RCPT are looked at again."""
    assert read_leniently(line, REFUSED) is REFUSED


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (b"EHLO my computer", Ehlo("my computer")),
        (b"EHLO M\xfcller-PC ", Ehlo("M\ufffdller-PC")),
        (b"EHLO " + b"x" * 300, Ehlo("x" * 255)),
    ],
)
def test_names_in_a_hello(line: bytes, command: Command) -> None:
    """A name is text of 255 characters at most."""
    assert read_leniently(line, REFUSED) == command


def test_the_time_is_linear() -> None:
    """A long line of quotes and blanks is read at once."""
    for octets in (b'"', b'"\\', b" ", b"\t<", b'""', b"@.", b'".'):
        line = b"MAIL FROM:" + octets * (2000 // len(octets))
        assert isinstance(read_leniently(line, REFUSED), Reply)
        assert isinstance(read_leniently(line + b"@x", REFUSED), Reply)
