"""EXTERNAL (RFC 4422 appendix A): the client's TLS certificate shows who it is."""

from __future__ import annotations

from .client import ClientScript, Credentials, Response
from .exchange import Script, first_heard, identified, settled
from .step import MALFORMED, CertificateWanted
from .terms import ClientTerms, ServerTerms
from .text import is_text, text_of


def serve_external(initial: bytes | None, mechanism: str, terms: ServerTerms) -> Script:
    """The authorization identity; empty for the user that the certificate names."""
    said = yield from first_heard(initial)
    authzid = text_of(said) if said else ""
    if authzid is None:
        return MALFORMED
    identity = yield from identified(CertificateWanted(authzid))
    return settled(identity, authzid)


def speak_external(mechanism: str, credentials: Credentials, terms: ClientTerms) -> ClientScript:
    """One message, usually empty."""
    yield Response(credentials.authzid.encode("utf-8"), last=True)
    return None


def fits_external(credentials: Credentials, terms: ClientTerms) -> bool:
    """True if the connection shows a certificate."""
    return credentials.certificate and (not credentials.authzid or is_text(credentials.authzid))
