"""SCRAM-SHA-256 and SCRAM-SHA-256-PLUS for servers (RFC 5802, RFC 7677)."""

from __future__ import annotations

import hmac
from base64 import b64encode
from collections.abc import Generator
from dataclasses import replace

from .exchange import Script, first_heard, heard, settled
from .scram_message import (
    NONCE_OCTETS,
    SCRAM,
    SCRAM_PLUS,
    ClientFirst,
    ServerFirst,
    auth_message,
    read_client_final,
    read_client_first,
    write_server_final,
    write_server_first,
)
from .step import (
    MALFORMED,
    REFUSED,
    Answer,
    KeysFound,
    KeysWanted,
    Question,
    Reason,
    Refusal,
    Success,
)
from .stored_keys import HASH, SALT_OCTETS, StoredKeys
from .terms import ServerTerms
from .text import saslprep

# The words are those of server-error-value in RFC 5802 section 7.
_DOWNGRADED = Refusal(Reason.REFUSED, "server-does-support-channel-binding")
_NOT_SUPPORTED = Refusal(Reason.REFUSED, "channel-binding-not-supported")
_UNKNOWN_TYPE = Refusal(Reason.REFUSED, "unsupported-channel-binding-type")
_NOT_BOUND = Refusal(Reason.REFUSED, "channel-bindings-dont-match")
_WRONG_NONCE = Refusal(Reason.REFUSED, "the nonce is another's")
_WRONG_NAME = Refusal(Reason.MALFORMED, "invalid-username-encoding")


def serve_scram(initial: bytes | None, mechanism: str, terms: ServerTerms) -> Script:
    """Two messages from each side. The server also proves that it has the keys."""
    first = read_client_first((yield from first_heard(initial)))
    if first is None:
        return MALFORMED
    name = _prepared(first.name)
    if name is None:
        return _WRONG_NAME
    binding = _binding(first, mechanism, terms)
    if isinstance(binding, Refusal):
        return binding
    found = yield from _looked_up(KeysWanted(name, SCRAM, first.authzid))
    keys = made_up(name, terms) if found is None else found.keys
    nonce = first.nonce + b64encode(terms.random(NONCE_OCTETS))
    server_first = write_server_first(ServerFirst(nonce, keys.salt, keys.iterations))
    final = read_client_final((yield from heard(server_first)))
    if final is None:
        return MALFORMED
    if not hmac.compare_digest(final.binding, first.header + binding):
        return _NOT_BOUND
    if final.nonce != nonce:
        return _WRONG_NONCE
    signed = auth_message(first.bare, server_first, final.bare)
    if not keys.proves(signed, final.proof) or found is None:
        return REFUSED
    outcome = settled(found.identity, first.authzid, first.name)
    if isinstance(outcome, Refusal):
        return outcome
    return (yield from _proved(outcome, write_server_final(keys.signature(signed)), terms))


def _proved(success: Success, server_final: bytes, terms: ServerTerms) -> Script:
    """The server's proof, sent with the success or before it."""
    if terms.success_data:
        return replace(success, data=server_final)
    # RFC 4954 section 4: as a challenge, to which the client sends an empty response.
    acknowledged = yield from heard(server_final)
    return success if acknowledged == b"" else MALFORMED


def _binding(first: ClientFirst, mechanism: str, terms: ServerTerms) -> bytes | Refusal:
    """The octets that the client must send besides its header (RFC 5802 section 6)."""
    if mechanism == SCRAM_PLUS:
        if first.flag != b"p":
            return _NOT_BOUND
        return terms.bindings.get(first.binding_type, _UNKNOWN_TYPE)
    if first.flag == b"p":
        return _NOT_SUPPORTED
    # The client could bind and believes that we cannot: somebody has changed our offer on its way.
    if first.flag == b"y" and SCRAM_PLUS in terms.offered:
        return _DOWNGRADED
    return b""


def _prepared(name: str) -> str | None:
    """The name as it is looked up (RFC 5802 section 5.1); None if SASLprep leaves nothing of it."""
    try:
        return saslprep(name, stored=False) or None
    except ValueError:
        return None


def _looked_up(question: KeysWanted) -> Generator[Question, bytes | Answer, KeysFound | None]:
    sent = yield question
    if sent is not None and not isinstance(sent, KeysFound):
        raise TypeError("KeysWanted is answered with KeysFound or None")
    return sent


def made_up(name: str, terms: ServerTerms) -> StoredKeys:
    """Keys for a name that does not exist: always with the same salt, and no password matches them.

    The case of letters makes no difference, as in user stores.
    """
    key = hmac.digest(terms.secret, name.casefold().encode("utf-8"), HASH)
    salt = hmac.digest(key, b"salt", HASH)[:SALT_OCTETS]
    stored, server = (hmac.digest(key, label, HASH) for label in (b"stored", b"server"))
    return StoredKeys(salt, terms.iterations, stored, server)
