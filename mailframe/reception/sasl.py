"""AUTH mechanisms as small state machines: PLAIN (RFC 4616) and LOGIN.

LOGIN was never standardised; it is what old clients speak: two questions, two answers.
"""

from __future__ import annotations

from typing import Protocol

from twisted.cred.credentials import UsernamePassword

from ..smtp.reply import AUTH_FAILED, Reply

MAX_NAME = 255  # octets of a name or a password, RFC 4616 section 2

MALFORMED = Reply(501, "Malformed authentication response", "5.5.2")
UNKNOWN_MECHANISM = Reply(504, "Authentication mechanism not supported", "5.5.4")


class Exchange(Protocol):
    """One AUTH command's conversation, from its initial response to the credentials."""

    def step(self, response: bytes | None) -> bytes | UsernamePassword | Reply:
        """What follows the client's response (None: AUTH came without one).

        Octets are the next challenge, not yet in base64; credentials, in UTF-8, are to be
        checked; a Reply refuses, and ends the exchange as credentials do.
        """


def begin(mechanism: str) -> Exchange | None:
    """A new exchange by its mechanism's name in any case, None for an unknown one."""
    exchange = _MECHANISMS.get(mechanism.upper())
    return exchange() if exchange else None


class Plain:
    """PLAIN: [authorization identity] NUL authentication identity NUL password."""

    __slots__ = ()

    def step(self, response: bytes | None) -> bytes | UsernamePassword | Reply:
        """The credentials, or an empty challenge first where there was no response yet."""
        if response is None:
            return b""
        parts = response.split(b"\0")
        if len(parts) != 3:
            return MALFORMED
        acts_as, name, password = parts
        if not (_well_formed(name) and _well_formed(password)):
            return MALFORMED
        # Nobody may act for another: RFC 4616 section 2 leaves that to the server.
        if acts_as not in (b"", name):
            return AUTH_FAILED
        return UsernamePassword(name, password)


class Login:
    """LOGIN: the name, then the password, each asked for by its label."""

    __slots__ = ("_name",)

    def __init__(self) -> None:
        self._name: bytes | None = None

    def step(self, response: bytes | None) -> bytes | UsernamePassword | Reply:
        """The next label, or the credentials once both answers are here."""
        if response is None:
            return b"Username:"
        if b"\0" in response or not _well_formed(response):
            return MALFORMED
        if self._name is None:
            self._name = response
            return b"Password:"
        return UsernamePassword(self._name, response)


def _well_formed(text: bytes) -> bool:
    """Whether it is 1 to 255 octets of UTF-8."""
    if not 0 < len(text) <= MAX_NAME:
        return False
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


_MECHANISMS: dict[str, type[Plain] | type[Login]] = {"PLAIN": Plain, "LOGIN": Login}
MECHANISMS = tuple(_MECHANISMS)
