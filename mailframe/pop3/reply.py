"""What a server says to a command: +OK or -ERR, a response code and a text (RFC 1939 section 3)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

MAX_REPLY_LINE = 512  # octets with CRLF, RFC 2449 section 4

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class ResponseCode(StrEnum):
    """Why a command was refused, for programs (RFC 2449 section 8)."""

    IN_USE = "IN-USE"  # another session has the mailbox (RFC 2449 section 8.1.2)
    LOGIN_DELAY = "LOGIN-DELAY"  # logged in too soon after the last time (section 8.1.1)
    SYS_TEMP = "SYS/TEMP"  # the server has a problem that may pass (RFC 3206 section 4)
    SYS_PERM = "SYS/PERM"  # the server has a problem that somebody must mend (section 4)
    AUTH = "AUTH"  # the credentials are the problem, so ask the user (section 5)
    UTF8 = "UTF8"  # this message needs the command UTF8 first (RFC 6856 section 5)


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply to one command: a decision in the words that a person may read.

    The lines of a multi-line reply are not part of it; the dialogue writes them. ValueError is
    raised for a text with control characters, for one that begins with "[", which a client would
    take for a response code (RFC 2449 section 6.4), and for a response code in a positive reply.
    """

    positive: bool
    text: str
    code: ResponseCode | None = None

    def __post_init__(self) -> None:
        if _CONTROL.search(self.text):
            raise ValueError("a reply's text holds no control characters")
        if self.text.startswith("["):
            raise ValueError("a reply's text does not look like a response code (RFC 2449)")
        if self.positive and self.code is not None:
            raise ValueError(f"{self.code} says why a command was refused, but this is +OK")

    def __str__(self) -> str:
        code = f"[{self.code}]" if self.code is not None else ""
        return " ".join(filter(None, ("+OK" if self.positive else "-ERR", code, self.text)))

    def to_bytes(self) -> bytes:
        """The line as it is sent: ASCII, ended by CRLF, cut to 512 octets."""
        return str(self).encode("ascii", "backslashreplace")[: MAX_REPLY_LINE - 2] + b"\r\n"


def ok(text: str = "") -> Reply:
    """A positive reply."""
    return Reply(True, text)


def err(text: str, code: ResponseCode | None = None) -> Reply:
    """A negative reply."""
    return Reply(False, text, code)


BYE = ok("Bye")
READY_FOR_TLS = ok("Begin TLS negotiation")
LOGGED_IN = ok("Logged in")
CAPABILITIES_FOLLOW = ok("Capabilities follow")
MECHANISMS_FOLLOW = ok("Mechanisms follow")

AUTH_FAILED = err("Authentication failed", ResponseCode.AUTH)
AUTH_UNAVAILABLE = err("Authentication is not available now", ResponseCode.SYS_TEMP)
LOCAL_ERROR = err("Local error, try again later", ResponseCode.SYS_TEMP)
SHUTTING_DOWN = err("Service shutting down, try again later", ResponseCode.SYS_TEMP)
TOO_MANY_CONNECTIONS = err("Too many connections, try again later", ResponseCode.SYS_TEMP)
MAILBOX_IN_USE = err("Another session has this mailbox", ResponseCode.IN_USE)

UNKNOWN_COMMAND = err("Command not recognized")
SYNTAX_ERROR = err("Syntax error in arguments")
NO_ARGUMENT = err("This command takes no argument")
BAD_OCTETS = err("A command is UTF-8 without control characters")
BARE_LF = err("Lines end with CRLF, not with LF alone")
BAD_BASE64 = err("Cannot decode this as base64")
LINE_TOO_LONG = err("Line too long")
TOO_MANY_BAD_COMMANDS = err("Too many bad commands, closing the connection")
NO_SUCH_MESSAGE = err("No such message")
MESSAGE_DELETED = err("This message is marked as deleted")
NOT_ALL_REMOVED = err("Some deleted messages were not removed", ResponseCode.SYS_TEMP)
NEEDS_UTF8 = err("This message needs the UTF8 command", ResponseCode.UTF8)
