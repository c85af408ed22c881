"""Reads lines and writes commands: RFC 5321 section 4.1 as tables and patterns.

Lines come here without their CRLF. Reading gives a Command, or the Reply that refuses the line.
Writing refuses everything that would not be read back the same.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from .address import MAX_PATH, AddressError, Mailbox, parse_domain
from .command import (
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
from .parameters import (
    MAIL_PARAMETERS,
    RCPT_PARAMETERS,
    mail_parameters,
    rcpt_parameters,
    read_parameters,
    xtext_decode,
    xtext_encode,
)
from .reply import NOT_IMPLEMENTED, SYNTAX_ERROR, UNKNOWN_COMMAND, Reply
from .xclient import read_xclient, write_xclient

__all__ = [
    "BAD_OCTETS",
    "POSTMASTER",
    "ReplyLine",
    "Unwritable",
    "decode_base64",
    "is_postmaster",
    "parse_command",
    "parse_reply_line",
    "read_path",
    "write_command",
    "xtext_decode",
    "xtext_encode",
]

BAD_OCTETS = Reply(500, "A command is UTF-8 without control characters, ended by CRLF", "5.5.2")
BAD_BASE64 = Reply(501, "Cannot decode this as base64", "5.5.2")
NO_ARGUMENT = Reply(501, "This command takes no argument", "5.5.4")

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# The text between the angle brackets; a quoted local part may contain a bracket.
_PATH = r'<([^<>" ]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*"[^<>" ]*+)*)>(?: +(.+))?'
# RFC 5321 has no space after the colon, but many clients send one, and it is harmless.
_FROM = re.compile("FROM: ?" + _PATH, re.IGNORECASE | re.ASCII)
_TO = re.compile("TO: ?" + _PATH, re.IGNORECASE | re.ASCII)
# Most mailboxes look like this: without quotes, in ASCII, the domain in lower case.
_PLAIN = re.compile(
    # No possessive group: before CPython 3.11.5 (gh-106052) it would accept "a.@".
    r"[\w!#$%&'*+/=?^`{|}~-]++(?:\.[\w!#$%&'*+/=?^`{|}~-]++)*"
    r"@[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*",
    re.ASCII,
)
_SOURCE_ROUTE = re.compile(r"((?:@[^@,:]+,)*@[^@,:]+):(.*)")
# Domains and literals, and also underscores and other atext, which occur in names of real hosts.
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.:\[\]-]{1,255}")
_BDAT = re.compile(r"([0-9]{1,20})(?: +([Ll][Aa][Ss][Tt]))?")
_MECHANISM = re.compile(r"[A-Za-z0-9_-]{1,20}")
_AUTH = re.compile(rf"({_MECHANISM.pattern})(?: ([!-~]+))?")
_REPLY_LINE = re.compile(
    # An enhanced status counts only if it has the class of the code.
    rb"(([245])[0-9][0-9]|3[0-9][0-9])"
    rb"(?:([ -])(?:(\2\.[0-9]{1,3}\.[0-9]{1,3})(?: |\Z))?(.*))?",
    re.DOTALL,
)
_BASE64 = re.compile(rb"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")

#: RFC 5321 section 4.1.1.3: the one recipient that needs no domain.
POSTMASTER = Mailbox("postmaster", "")


class Unwritable(ValueError):
    """The command cannot be written on one line; the message says why."""


class ReplyLine(NamedTuple):
    """One line of a reply. `last` is False if more lines follow ("250-").

    `status` is the enhanced status code, None if there is none of the code's class.
    """

    code: int
    last: bool
    status: str | None
    text: str


def parse_command(line: bytes) -> Command | Reply:
    """The command in `line`, or the reply that refuses it (RFC 5321 section 4.1.1).

    Accepts only what RFC 5321 allows, and white space at the end; `leniency` accepts more. 500 for
    an unknown command, 501 for wrong syntax, 502 for obsolete commands that no server offers any
    more, 555 for an unknown parameter.
    """
    try:
        text = line.decode("utf-8").rstrip(" \t")
    except UnicodeDecodeError:
        return BAD_OCTETS
    if not text.isprintable() and _CONTROL.search(text):
        return BAD_OCTETS
    verb, _, argument = text.partition(" ")
    read = _READERS.get(verb) or (_READERS.get(verb.upper()) if verb.isascii() else None)
    return UNKNOWN_COMMAND if read is None else read(argument)


def decode_base64(text: bytes) -> bytes | None:
    """The octets of base64; None if the text is no base64 (RFC 4648 section 4)."""
    return b64decode(text) if _BASE64.fullmatch(text) else None


def parse_reply_line(line: bytes) -> ReplyLine:
    """The parts of one line of a reply (RFC 5321 section 4.2.1, RFC 2034 section 4).

    Octets that are no UTF-8 become "\\ufffd", and control characters "?", so that the text may
    stand in a Reply and a log. Raises ValueError if it is no line of a reply.
    """
    match = _REPLY_LINE.fullmatch(line)
    if match is None:
        raise ValueError("not a line of an SMTP reply")
    code, _, separator, status, octets = match.groups()
    text = (octets or b"").decode("utf-8", "replace")
    if not text.isprintable():
        text = _CONTROL.sub("?", text)
    return ReplyLine(int(code), separator != b"-", status.decode() if status else None, text)


def write_command(command: Command) -> bytes:
    """The command's line with its CRLF. Raises Unwritable; never writes a second line.

    Non-ASCII addresses are written in UTF-8. The caller must know whether the server supports
    SMTPUTF8 (RFC 6531 section 3.4).
    """
    try:
        text = _WRITERS[type(command)](command)
        octets = text.encode("utf-8")
    except ValueError as wrong:
        raise Unwritable(str(wrong)) from wrong
    if not text.isprintable() and _CONTROL.search(text):
        raise Unwritable("a command line holds no control characters")
    return octets + b"\r\n"


def _read_mail(argument: str) -> Mail | Reply:
    match = _FROM.fullmatch(argument)
    if match is None:
        return Reply(501, "Syntax: MAIL FROM:<address> [parameters]", "5.5.4")
    path, text = match.groups()
    try:
        sender = read_path(path) if path else None
    except AddressError as wrong:
        return Reply(501, f"Bad sender address: {wrong}", "5.1.7")
    if text is None:
        return Mail(sender)
    parameters = read_parameters(text, MAIL_PARAMETERS)
    return parameters if isinstance(parameters, Reply) else Mail(sender, **parameters)


def _read_rcpt(argument: str) -> Rcpt | Reply:
    match = _TO.fullmatch(argument)
    if match is None:
        return Reply(501, "Syntax: RCPT TO:<address> [parameters]", "5.5.4")
    path, text = match.groups()
    try:
        recipient = POSTMASTER if is_postmaster(path) else read_path(path)
    except AddressError as wrong:
        return Reply(501, f"Bad recipient address: {wrong}", "5.1.3")
    if text is None:
        return Rcpt(recipient)
    parameters = read_parameters(text, RCPT_PARAMETERS)
    return parameters if isinstance(parameters, Reply) else Rcpt(recipient, **parameters)


def is_postmaster(path: str) -> bool:
    """True for the postmaster without a domain, in upper or lower case."""
    return len(path) == 10 and path.isascii() and path.lower() == "postmaster"


def read_path(path: str, *, strict: bool = True) -> Mailbox:
    """The mailbox in a path without its angle brackets; `strict` as for Mailbox.parse.

    Raises AddressError.
    """
    if len(path.encode("utf-8")) > MAX_PATH - 2:
        raise AddressError(f"the path is longer than {MAX_PATH} octets")
    if path.startswith("@"):
        # RFC 5321 appendix C: a source route is accepted, checked and ignored.
        route = _SOURCE_ROUTE.fullmatch(path)
        if route is None:
            raise AddressError("the source route does not end in a mailbox")
        for hop in route[1].split(","):
            parse_domain(hop[1:], strict=strict)
        path = route[2]
    return Mailbox.parse(path, strict=strict)


def _read_hello(kind: Callable[[str], Command]) -> Callable[[str], Command | Reply]:
    wrong = Reply(501, "Name yourself by a domain or an address literal", "5.5.4")
    return lambda argument: kind(argument) if _NAME.fullmatch(argument) else wrong


def _read_alone(command: Command) -> Callable[[str], Command | Reply]:
    return lambda argument: NO_ARGUMENT if argument else command


def _read_bdat(argument: str) -> Bdat | Reply:
    match = _BDAT.fullmatch(argument)
    if match is None:
        return Reply(501, "Syntax: BDAT size [LAST]", "5.5.4")
    return Bdat(int(match[1]), match[2] is not None)


def _read_auth(argument: str) -> Auth | Reply:
    match = _AUTH.fullmatch(argument)
    if match is None:
        return Reply(501, "Syntax: AUTH mechanism [initial-response]", "5.5.4")
    mechanism, text = match.groups()
    if text is None:
        return Auth(mechanism.upper())
    # RFC 4954 section 4: "=" is an empty response, which differs from none.
    initial = b"" if text == "=" else decode_base64(text.encode())
    return BAD_BASE64 if initial is None else Auth(mechanism.upper(), initial)


_READERS: dict[str, Callable[[str], Command | Reply]] = {
    "HELO": _read_hello(Helo),
    "EHLO": _read_hello(Ehlo),
    "LHLO": _read_hello(Lhlo),
    "MAIL": _read_mail,
    "RCPT": _read_rcpt,
    "DATA": _read_alone(Data()),
    "BDAT": _read_bdat,
    "RSET": _read_alone(Rset()),
    "VRFY": lambda argument: Vrfy(argument) if argument else SYNTAX_ERROR,
    "EXPN": lambda argument: Expn(argument) if argument else SYNTAX_ERROR,
    "HELP": Help,
    "NOOP": lambda argument: Noop(),
    "QUIT": _read_alone(Quit()),
    "STARTTLS": _read_alone(StartTls()),
    "AUTH": _read_auth,
    "XCLIENT": read_xclient,
    **dict.fromkeys(
        ("SEND", "SOML", "SAML", "TURN", "ETRN", "ATRN"), lambda argument: NOT_IMPLEMENTED
    ),
}


def _path(mailbox: Mailbox) -> str:
    text = f"{mailbox.local}@{mailbox.domain}"
    if len(text) <= MAX_PATH - 2 and _PLAIN.fullmatch(text):
        return f"<{text}>"
    text = str(mailbox)
    # A text that is not read back as this mailbox might be read as something else.
    if Mailbox.parse(text) != mailbox:
        raise Unwritable(f"{text!r} is not a mailbox")
    return f"<{text}>"


def _write_mail(command: Mail) -> str:
    path = _path(command.sender) if command.sender else "<>"
    return " ".join((f"MAIL FROM:{path}", *mail_parameters(command)))


def _write_rcpt(command: Rcpt) -> str:
    is_bare = not command.recipient.domain and command.recipient == POSTMASTER
    path = "<postmaster>" if is_bare else _path(command.recipient)
    return " ".join((f"RCPT TO:{path}", *rcpt_parameters(command)))


def _write_hello(command: Helo | Ehlo | Lhlo) -> str:
    if not _NAME.fullmatch(command.name):
        raise Unwritable(f"{command.name!r} is not a domain or an address literal")
    return f"{type(command).__name__.upper()} {command.name}"


def _write_question(command: Vrfy | Expn) -> str:
    if not command.text.strip(" \t"):
        raise Unwritable("there is nothing to ask about")
    return f"{type(command).__name__.upper()} {command.text}"


def _write_bdat(command: Bdat) -> str:
    if command.size < 0:
        raise Unwritable("BDAT counts octets")
    return f"BDAT {command.size} LAST" if command.last else f"BDAT {command.size}"


def _write_auth(command: Auth) -> str:
    if not _MECHANISM.fullmatch(command.mechanism):
        raise Unwritable(f"{command.mechanism!r} is not the name of a mechanism")
    if command.initial is None:
        return f"AUTH {command.mechanism}"
    return f"AUTH {command.mechanism} {b64encode(command.initial).decode() or '='}"


_Writer: TypeAlias = Callable[[Any], str]
_WRITERS: dict[type[Command], _Writer] = {
    Helo: _write_hello,
    Ehlo: _write_hello,
    Lhlo: _write_hello,
    Mail: _write_mail,
    Rcpt: _write_rcpt,
    Bdat: _write_bdat,
    Vrfy: _write_question,
    Expn: _write_question,
    Help: lambda command: f"HELP {command.text}".rstrip(),
    Auth: _write_auth,
    **{kind: lambda command: type(command).__name__.upper() for kind in (Data, Rset, Noop, Quit)},
    StartTls: lambda command: "STARTTLS",
    Xclient: write_xclient,
}
