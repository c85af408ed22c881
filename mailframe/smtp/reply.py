"""Replies as values: a code, an enhanced status and a text that cannot disagree.

RFC 5321 section 4.2 (replies), RFC 2034 and RFC 3463 (enhanced status codes).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

MAX_REPLY_LINE = 512  # octets with CRLF, RFC 5321 section 4.5.3.1.5
_SHORT = 400  # characters that fit into a line whatever stands before them

_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply to one command: a decision in the words that the client reads.

    `text` may have several lines (separated by "\\n"), which become a multi-line reply. `status` is
    the enhanced status code without its space ("5.1.1"), or None where RFC 2034 wants none
    (greeting, EHLO, 3xx). ValueError is raised for a wrong one: a status whose class is not the
    code's, a control character, or a code that no reply has.
    """

    code: int
    text: str
    status: str | None = None
    _octets: bytes | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 200 <= self.code <= 599:
            raise ValueError(f"{self.code} is not a reply code (RFC 5321 section 4.2)")
        if self.status is not None:
            if not _STATUS.fullmatch(self.status):
                raise ValueError(f"{self.status!r} is not an enhanced status code (RFC 3463)")
            if int(self.status[0]) != self.code // 100:
                raise ValueError(f"code {self.code} and status {self.status} disagree (RFC 2034)")
        if not self.text.isprintable() and _UNPRINTABLE.search(self.text):
            raise ValueError("a reply's text holds no control characters but the line break")

    @property
    def positive(self) -> bool:
        """True for 2xx and 3xx."""
        return self.code < 400

    @property
    def temporary(self) -> bool:
        """True for 4xx: the client may try again later."""
        return 400 <= self.code < 500

    @property
    def permanent(self) -> bool:
        """True for 5xx: the client must not try the same again."""
        return self.code >= 500

    @property
    def lines(self) -> list[str]:
        """The lines of the text with the enhanced status before each, as on the wire."""
        texts = self.text.split("\n")
        return [f"{self.status} {text}" for text in texts] if self.status else texts

    def __str__(self) -> str:
        return " / ".join(f"{self.code} {line}" for line in self.lines)

    def to_bytes(self) -> bytes:
        """The reply as it is sent, every line ended by CRLF and within 512 octets."""
        octets = self._octets
        if octets is None:
            octets = _encode(self)
            object.__setattr__(self, "_octets", octets)
        return octets


def _encode(reply: Reply) -> bytes:
    text = reply.text
    if len(text) <= _SHORT and text.isascii() and "\n" not in text:
        status = f"{reply.status} " if reply.status else ""
        return f"{reply.code} {status}{text}\r\n".encode("ascii")
    code = b"%d" % reply.code
    room = MAX_REPLY_LINE - len("250-") - len("\r\n")
    rows: list[bytes] = []
    prefix = f"{reply.status} ".encode() if reply.status else b""
    for text in reply.text.split("\n"):
        octets = text.encode("ascii", "backslashreplace")
        step = room - len(prefix)
        rows += [prefix + octets[at : at + step] for at in range(0, len(octets) or 1, step)]
    head = b"".join(code + b"-" + row + b"\r\n" for row in rows[:-1])
    return head + code + b" " + rows[-1] + b"\r\n"


# The common replies. A hook may also answer with its own.
OK = Reply(250, "OK", "2.0.0")
SENDER_OK = Reply(250, "OK", "2.1.0")
RECIPIENT_OK = Reply(250, "OK", "2.1.5")
GO_AHEAD = Reply(354, "End data with <CRLF>.<CRLF>")
BYE = Reply(221, "Bye", "2.0.0")
READY_FOR_TLS = Reply(220, "Ready to start TLS", "2.0.0")
CANNOT_VERIFY = Reply(252, "Cannot VRFY user, but will accept a message and try", "2.1.5")
AUTHENTICATED = Reply(235, "Authentication successful", "2.7.0")

SHUTTING_DOWN = Reply(421, "Service shutting down, try again later", "4.3.2")
TIMED_OUT = Reply(421, "Timeout, closing the connection", "4.4.2")
TOO_MANY_CONNECTIONS = Reply(421, "Too many connections, try again later", "4.7.0")
TOO_MANY_ERRORS = Reply(421, "Too many errors, closing the connection", "4.7.0")
TOO_MANY_COMMANDS = Reply(421, "Too many commands, closing the connection", "4.7.0")
OUT_OF_STEP = Reply(421, "What follows cannot be read, closing the connection", "4.5.0")
TOO_MANY_RECIPIENTS = Reply(452, "Too many recipients", "4.5.3")
LOCAL_ERROR = Reply(451, "Local error, try again later", "4.3.0")
NO_DELIVERY = Reply(451, "Cannot deliver now, try again later", "4.3.5")
STORAGE_FULL = Reply(452, "Insufficient system storage, try again later", "4.3.1")
AUTH_UNAVAILABLE = Reply(454, "Temporary authentication failure", "4.7.0")
TLS_UNAVAILABLE = Reply(454, "TLS not available now", "4.7.0")

UNKNOWN_COMMAND = Reply(500, "Command not recognized", "5.5.1")
BARE_LF = Reply(500, "A line ends in CRLF, not in LF alone", "5.5.2")
LINE_TOO_LONG = Reply(500, "Line too long", "5.5.6")
SYNTAX_ERROR = Reply(501, "Syntax error in parameters or arguments", "5.5.4")
NOT_IMPLEMENTED = Reply(502, "Command not implemented", "5.5.1")
BAD_SEQUENCE = Reply(503, "Bad sequence of commands", "5.5.1")
UNKNOWN_PARAMETER = Reply(555, "Parameter not recognized or not implemented", "5.5.4")
AUTH_REQUIRED = Reply(530, "Authentication required", "5.7.0")
TLS_REQUIRED = Reply(530, "Must issue a STARTTLS command first", "5.7.0")
AUTH_LATER = Reply(454, "Too many failed logins, try again later", "4.7.0")
AUTH_FAILED = Reply(535, "Authentication credentials invalid", "5.7.8")
AUTH_NEEDS_TLS = Reply(538, "Encryption required for requested authentication mechanism", "5.7.11")
NO_SUCH_MAILBOX = Reply(550, "No such mailbox here", "5.1.1")
NO_SUCH_DOMAIN = Reply(550, "No route to this domain", "5.1.2")
RELAYING_DENIED = Reply(550, "Relaying denied", "5.7.1")
MESSAGE_TOO_BIG = Reply(552, "Message size exceeds the limit", "5.3.4")
MAIL_LOOP = Reply(554, "Mail loop detected: too many hops", "5.4.6")
BEEN_HERE = Reply(554, "Mail loop detected: delivered here before", "5.4.6")
BAD_LINE_ENDS = Reply(554, "Lines must end in CRLF; bare CR, bare LF and NUL are refused", "5.6.0")
