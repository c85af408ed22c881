"""PLAIN (RFC 4616) and LOGIN, which send the password itself.

LOGIN was never standardised. Old clients use it: two questions, two answers.
"""

from __future__ import annotations

from .client import ClientScript, Credentials, Response
from .exchange import Script, first_heard, heard, identified, settled
from .step import MALFORMED, PasswordWanted
from .terms import ClientTerms, ServerTerms
from .text import is_text, text_of


def serve_plain(initial: bytes | None, mechanism: str, terms: ServerTerms) -> Script:
    """[authorization identity] NUL authentication identity NUL password."""
    parts = (yield from first_heard(initial)).split(b"\0")
    if len(parts) != 3:
        return MALFORMED
    authzid, name, password = ("" if part == b"" else text_of(part) for part in parts)
    if authzid is None or not name or not password:
        return MALFORMED
    identity = yield from identified(PasswordWanted(name, password, authzid))
    return settled(identity, authzid, name)


def serve_login(initial: bytes | None, mechanism: str, terms: ServerTerms) -> Script:
    """The name, then the password; each has its own challenge."""
    # Some clients send the name with AUTH.
    name = text_of((yield from heard(b"Username:")) if initial is None else initial)
    if name is None:
        return MALFORMED
    password = text_of((yield from heard(b"Password:")))
    if password is None:
        return MALFORMED
    identity = yield from identified(PasswordWanted(name, password))
    return settled(identity, "")


def speak_plain(mechanism: str, credentials: Credentials, terms: ClientTerms) -> ClientScript:
    """One message; the server sends none."""
    said = (credentials.authzid, credentials.user, credentials.password or "")
    yield Response("\0".join(said).encode("utf-8"), last=True)
    return None


def speak_login(mechanism: str, credentials: Credentials, terms: ClientTerms) -> ClientScript:
    """Two answers, whatever the challenges say, because servers word them differently."""
    yield None
    yield Response(credentials.user.encode("utf-8"))
    yield Response((credentials.password or "").encode("utf-8"), last=True)
    return None


def fits_plain(credentials: Credentials, terms: ClientTerms) -> bool:
    """True if there are a name and a password that PLAIN can carry."""
    return (
        is_text(credentials.user)
        and is_text(credentials.password)
        and (not credentials.authzid or is_text(credentials.authzid))
    )


def fits_login(credentials: Credentials, terms: ClientTerms) -> bool:
    """The same, but LOGIN cannot name another user to act for."""
    return not credentials.authzid and fits_plain(credentials, terms)
