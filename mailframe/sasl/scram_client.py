"""SCRAM-SHA-256 and SCRAM-SHA-256-PLUS for clients (RFC 5802, RFC 7677)."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode

from .channel_binding import BINDING_TYPES
from .client import ClientScript, Credentials, Response
from .scram_message import (
    NONCE_OCTETS,
    SCRAM_PLUS,
    ServerFirst,
    auth_message,
    read_server_final,
    read_server_first,
    write_client_final_bare,
    write_client_first,
    write_proof,
)
from .step import Reason, Refusal
from .stored_keys import (
    HASH,
    MAX_ITERATIONS,
    MIN_ITERATIONS,
    client_key,
    salted_password,
    server_key,
    xor,
)
from .terms import ClientTerms
from .text import is_text, saslprep

_UNREADABLE = Refusal(Reason.MALFORMED, "the server's message cannot be read")
_WRONG_NONCE = Refusal(Reason.REFUSED, "the server's nonce does not begin with ours")
_ITERATIONS = Refusal(
    Reason.REFUSED, f"the server asks for fewer than {MIN_ITERATIONS} iterations, or for too many"
)
_STRANGER = Refusal(Reason.REFUSED, "the server has not proved that it has the keys")


def speak_scram(mechanism: str, credentials: Credentials, terms: ClientTerms) -> ClientScript:
    """Two messages. The second one takes time to compute: about 0.6 µs for each iteration.

    The exchange is finished only after the server has proved that it has the keys.
    """
    flag, binding = _binding(mechanism, terms)
    nonce = b64encode(terms.random(NONCE_OCTETS))
    name = saslprep(credentials.user, stored=False)
    header, first_bare = write_client_first(flag, credentials.authzid, name, nonce)
    server_first = yield Response(header + first_bare)
    said = _acceptable(server_first, nonce)
    if isinstance(said, Refusal):
        return said
    salted = salted_password(credentials.password or "", said.salt, said.iterations)
    final_bare = write_client_final_bare(header + binding, said.nonce)
    signed = auth_message(first_bare, server_first, final_bare)
    key = client_key(salted)
    signature = hmac.digest(hashlib.new(HASH, key).digest(), signed, HASH)
    server_final = yield Response(final_bare + write_proof(xor(key, signature)))
    expected = hmac.digest(server_key(salted), signed, HASH)
    shown = read_server_final(server_final)
    if shown is None or not hmac.compare_digest(shown, expected):
        return _STRANGER
    yield Response(b"", last=True)
    return None


def _binding(mechanism: str, terms: ClientTerms) -> tuple[bytes, bytes]:
    """The flag of the GS2 header, and the octets that tie the exchange to TLS."""
    if mechanism == SCRAM_PLUS:
        kind = next(each for each in BINDING_TYPES if each in terms.bindings)
        return b"p=" + kind.encode("ascii"), terms.bindings[kind]
    # RFC 5802 section 6: with "y" the server can find out that its offer was tampered with.
    could = terms.bindings and SCRAM_PLUS not in terms.offered
    return (b"y" if could else b"n"), b""


def _acceptable(message: bytes, nonce: bytes) -> ServerFirst | Refusal:
    said = read_server_first(message)
    if said is None:
        return _UNREADABLE
    if not said.nonce.startswith(nonce) or said.nonce == nonce:
        return _WRONG_NONCE
    # With few iterations a false server could guess the password; too many would keep us busy.
    if not MIN_ITERATIONS <= said.iterations <= MAX_ITERATIONS:
        return _ITERATIONS
    return said


def fits_scram(credentials: Credentials, terms: ClientTerms) -> bool:
    """True if there are a name and a password that SASLprep allows."""
    if credentials.authzid and not is_text(credentials.authzid):
        return False
    if not is_text(credentials.user) or not credentials.password:
        return False
    try:
        name = saslprep(credentials.user, stored=False)
        return bool(name and saslprep(credentials.password, stored=True))
    except ValueError:
        return False


def fits_scram_plus(credentials: Credentials, terms: ClientTerms) -> bool:
    """The same, and TLS has a channel binding."""
    return bool(terms.bindings) and fits_scram(credentials, terms)
