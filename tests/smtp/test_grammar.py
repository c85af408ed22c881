"""Lines that become commands and commands that become lines; the lines of a reply."""

from __future__ import annotations

import pytest

from mailframe.smtp.address import Mailbox
from mailframe.smtp.command import (
    Auth,
    Bdat,
    Command,
    Data,
    Ehlo,
    Expn,
    Helo,
    Help,
    Lhlo,
    Mail,
    Noop,
    Quit,
    Rcpt,
    Rset,
    StartTls,
    Vrfy,
    Xclient,
)
from mailframe.smtp.grammar import (
    Unwritable,
    decode_base64,
    parse_command,
    parse_reply_line,
    write_command,
    xtext_decode,
    xtext_encode,
)
from mailframe.smtp.parameters import unitext_decode, unitext_encode
from mailframe.smtp.reply import Reply

A = Mailbox("a", "client.example")
B = Mailbox("b", "example.org")

SPELLINGS: list[tuple[bytes, Command]] = [
    (b"HELO client.example", Helo("client.example")),
    (b"EHLO [192.0.2.1]", Ehlo("[192.0.2.1]")),
    (b"LHLO client.example", Lhlo("client.example")),
    (b"MAIL FROM:<>", Mail(None)),
    (b"MAIL FROM:<a@client.example>", Mail(A)),
    (
        b"MAIL FROM:<a@client.example> SIZE=1000 BODY=8BITMIME SMTPUTF8 RET=FULL"
        b" ENVID=x+20y AUTH=a@client.example",
        Mail(A, 1000, "8BITMIME", True, "FULL", "x y", "a@client.example"),
    ),
    (b"MAIL FROM:<> AUTH=<>", Mail(None, auth="<>")),
    (b"RCPT TO:<b@example.org>", Rcpt(B)),
    (b"RCPT TO:<postmaster>", Rcpt(Mailbox("postmaster", ""))),
    (
        b"RCPT TO:<b@example.org> NOTIFY=DELAY,SUCCESS ORCPT=rfc822;b+2Bx@example.org",
        Rcpt(B, frozenset({"DELAY", "SUCCESS"}), "rfc822;b+x@example.org"),
    ),
    (b"RCPT TO:<b@example.org> ORCPT=utf-8;\\x{F6}", Rcpt(B, orcpt="utf-8;ö")),
    ("RCPT TO:<ö@example.org>".encode(), Rcpt(Mailbox("ö", "example.org"))),
    (b"DATA", Data()),
    (b"BDAT 0", Bdat(0)),
    (b"BDAT 86 LAST", Bdat(86, True)),
    (b"RSET", Rset()),
    (b"VRFY someone", Vrfy("someone")),
    (b"EXPN some list", Expn("some list")),
    (b"HELP", Help()),
    (b"HELP MAIL", Help("MAIL")),
    (b"NOOP", Noop()),
    (b"QUIT", Quit()),
    (b"STARTTLS", StartTls()),
    (b"XCLIENT NAME=[UNAVAILABLE] PORT=25", Xclient({"NAME": None, "PORT": "25"})),
    (b"XCLIENT ADDR=IPV6:::1 HELO=a+20b", Xclient({"ADDR": "::1", "HELO": "a b"})),
    (b"AUTH LOGIN", Auth("LOGIN")),
    (b"AUTH PLAIN =", Auth("PLAIN", b"")),
    (b"AUTH PLAIN AGEAYg==", Auth("PLAIN", b"\0a\0b")),
]


@pytest.mark.parametrize(("line", "command"), SPELLINGS, ids=lambda value: str(value)[:40])
def test_one_spelling(line: bytes, command: Command) -> None:
    """Each command is read from its line and written as that line."""
    assert parse_command(line) == command
    assert write_command(command) == line + b"\r\n"


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (
            b"mail from:<A@CLIENT.example>  size=1  BODY=7bit ",
            Mail(Mailbox("A", "client.example"), 1),
        ),
        (b"MAIL FROM:<@one.example,@two.example:a@client.example>", Mail(A)),
        (b"MAIL FROM:<@[IPv6:2001]:a@client.example>", None),
        (b'MAIL FROM:<"a"@client.example>', Mail(A)),
        (b"RCPT TO:<POSTMASTER>", Rcpt(Mailbox("postmaster", ""))),
        (b"RCPT TO:<b@example.org> ORCPT=utf-8;+C3+B6", Rcpt(B, orcpt="utf-8;ö")),
        ("RCPT TO:<b@example.org> ORCPT=utf-8;ö".encode(), Rcpt(B, orcpt="utf-8;ö")),
        (b"BDAT 007  last", Bdat(7, True)),
        (b"auth plain AGEAYg==", Auth("PLAIN", b"\0a\0b")),
        (b"NOOP one two", Noop()),
    ],
)
def test_other_spellings(line: bytes, command: Command | None) -> None:
    """What means the same is read the same; None: refused."""
    read = parse_command(line)
    assert isinstance(read, Reply) if command is None else read == command


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"", 500),
        (b"RSET\0", 500),
        (b"RSET\r", 500),
        (b"RSET\nQUIT", 500),
        (b"\xff", 500),
        ("RſET".encode(), 500),
        ("MAIL FROM:<a@client.example> ſIZE=1".encode(), 501),
        ("MAIL FROM:<a\u2028b@client.example>".encode(), 500),
        ("MAIL FROM:<a\u0085b@client.example>".encode(), 500),
        ("MAIL FROM:<a@client.example> ENVID=ö".encode(), 501),
        (b"MAIL FROM:<a@client.example> AUTH=a+FFb@client.example", 501),
        (b"RCPT TO:<b@example.org> ORCPT=rf c822;x", 501),
        (b"RCPT TO:<b@example.org> ORCPT=utf-8;", 501),
        (b"RCPT TO:<b@example.org> ORCPT=utf-8;a=b", 501),
        (b"RCPT TO:<b@example.org> ORCPT=utf-8;\\x{110000}", 501),
        (b"RCPT TO:<b@example.org> ORCPT=rfc822;" + b"x" * 500, 501),
        (b"AUTH PLAIN AGEAYg", 501),
        (b"AUTH PLAIN AGE AYg==", 501),
        (b"AUTH PL%IN", 501),
        (b"EHLO " + b"x" * 256, 501),
        (b"SOML FROM:<a@client.example>", 502),
    ],
)
def test_refused(line: bytes, code: int) -> None:
    """What is no command is answered by its class of error."""
    read = parse_command(line)
    assert isinstance(read, Reply)
    assert read.code == code


@pytest.mark.parametrize(
    "command",
    [
        Helo(""),
        Ehlo("client.example\r\nQUIT"),
        Ehlo("two names"),
        Mail(Mailbox("a\r\nRSET", "client.example")),
        Mail(Mailbox("a", "client.example> SIZE=1")),
        Mail(Mailbox("a", "client example")),
        Mail(Mailbox("a", "CLIENT.example")),
        Mail(Mailbox("a" * 250, "client.example")),
        Mail(Mailbox("a", "b" * 64 + ".example")),
        Mail(Mailbox("a", "client..example")),
        Mail(Mailbox("a", "x." * 130 + "example")),
        Mail(Mailbox("postmaster", "")),
        Mail(Mailbox("a\ud800", "client.example")),
        Mail(A, size=-1),
        Mail(A, envid=""),
        Mail(A, envid="a\nb"),
        Mail(A, envid="ö"),
        Mail(A, envid="x" * 101),
        Mail(A, auth="nobody"),
        Rcpt(Mailbox("b", "")),
        Rcpt(B, notify=frozenset()),
        Rcpt(B, notify=frozenset({"NEVER", "DELAY"})),
        Rcpt(B, notify=frozenset({"SOMETIMES"})),
        Rcpt(B, orcpt="b@example.org"),
        Rcpt(B, orcpt="rfc822;"),
        Rcpt(B, orcpt="rfc822;ö"),
        Rcpt(B, orcpt="rfc822;" + "x" * 494),
        Rcpt(B, orcpt="utf-8;\ud800"),
        Rcpt(B, orcpt="utf-8;a\r\nb"),
        Bdat(-1),
        Vrfy(" "),
        Vrfy("a\r\nQUIT"),
        Expn(""),
        Help("a\nb"),
        Auth(""),
        Auth("PLAIN AGEAYg=="),
    ],
    ids=repr,
)
def test_unwritable(command: Command) -> None:
    """What would be read as something else, or as two lines, is not written."""
    with pytest.raises(Unwritable):
        write_command(command)


def test_reply_lines() -> None:
    """RFC 5321 section 4.2.1: code, separator, enhanced status of the same class, text."""
    assert parse_reply_line(b"250 2.1.0 OK") == (250, True, "2.1.0", "OK")
    assert parse_reply_line(b"250-SIZE 1000") == (250, False, None, "SIZE 1000")
    assert parse_reply_line(b"250") == (250, True, None, "")
    assert parse_reply_line(b"250-") == (250, False, None, "")
    assert parse_reply_line(b"550 5.1.1") == (550, True, "5.1.1", "")
    assert parse_reply_line(b"550 4.1.1 x") == (550, True, None, "4.1.1 x")
    assert parse_reply_line(b"550 5.1.1x") == (550, True, None, "5.1.1x")
    assert parse_reply_line(b"354 3.0.0 x") == (354, True, None, "3.0.0 x")
    assert parse_reply_line(b"550 a\rb\nc\0") == (550, True, None, "a?b?c?")
    assert parse_reply_line(b"550 \xff") == (550, True, None, "\ufffd")


@pytest.mark.parametrize(
    "line", [b"", b"25", b"2500", b"150 x", b"650 x", b"abc", b" 250 OK", b"250_x"]
)
def test_no_reply_line(line: bytes) -> None:
    """What is no line of a reply raises ValueError."""
    with pytest.raises(ValueError, match="not a line"):
        parse_reply_line(line)


def test_base64() -> None:
    """RFC 4648 section 4, strictly: no spaces, nothing after the padding, nothing missing."""
    assert decode_base64(b"") == b""
    assert decode_base64(b"YQ==") == b"a"
    for wrong in (b"YQ=", b"YQ", b"Y", b"=", b"YQ==YQ==", b"Y Q=", b"Y-_=", b"YQ==\n"):
        assert decode_base64(wrong) is None


def test_xtext() -> None:
    """RFC 3461 section 4: +HH for what may not stand for itself, both ways."""
    assert xtext_encode("a+b=c d") == "a+2Bb+3Dc+20d"
    assert xtext_decode("a+2Bb+3dc+20d") == "a+b=c d"
    assert xtext_encode("ö") == "+C3+B6"
    for wrong in ("a+", "a+2", "a+GG", "a b", "a=b", "+FF"):
        with pytest.raises(ValueError, match=r".+"):
            xtext_decode(wrong)


def test_utf8_addresses() -> None:
    r"""RFC 6533 section 3: \x{HEX} for what may not stand for itself."""
    assert unitext_encode("ö+a=b\\") == r"\x{F6}\x{2B}a\x{3D}b\x{5C}"
    assert unitext_decode(r"\x{F6}\x{2B}a\x{3D}b\x{5C}") == "ö+a=b\\"
    assert unitext_decode(r"\x{5C}x{41}") == r"\x{41}"
    for wrong in ("", "a\\b", r"\x{}", r"\x{G0}", r"\x{D800}", "a b", "+FF"):
        with pytest.raises(ValueError, match=r".+"):
            unitext_decode(wrong)
