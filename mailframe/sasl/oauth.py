"""OAUTHBEARER (RFC 7628), and the older XOAUTH2 as Google and Microsoft use it.

If a token is refused, the server sends a challenge in JSON that says why. The client answers it
with a message without meaning, and only then the exchange fails.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Mapping

from .client import ClientScript, Credentials, Response
from .exchange import Script, first_heard, heard, settled
from .gs2 import HEADER, read_name, write_header
from .step import (
    MALFORMED,
    REFUSED,
    Answer,
    Identity,
    Question,
    Refusal,
    Success,
    TokenRefused,
    TokenWanted,
)
from .terms import ClientTerms, ServerTerms
from .text import is_text, text_of

OAUTHBEARER = "OAUTHBEARER"
XOAUTH2 = "XOAUTH2"

_HEADER = re.compile(HEADER)
_PAIR = re.compile(rb"([A-Za-z]+)=([^\x00\x01]*)")
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750 section 2.1
_BEARER = re.compile(rb"bearer +(" + _TOKEN.pattern.encode("ascii") + rb") *", re.IGNORECASE)
_HOST = re.compile(rb"[!-~]{0,255}")
_PORT = re.compile(rb"[0-9]{1,5}")
# XOAUTH2 uses HTTP's status numbers (RFC 6750 section 3.1).
_NUMBERS = {"invalid_request": "400", "insufficient_scope": "403"}


def serve_oauthbearer(initial: bytes | None, mechanism: str, terms: ServerTerms) -> Script:
    """A GS2 header and pairs of key and value (RFC 7628 section 3.1)."""
    message = yield from first_heard(initial)
    header = _HEADER.match(message)
    pairs = _pairs(message[header.end() :]) if header else None
    # There is no OAUTHBEARER-PLUS, so a channel binding has no meaning here.
    if header is None or pairs is None or header["flag"].startswith(b"p"):
        return MALFORMED
    name = read_name(header["authzid"]) if header["authzid"] else ""
    host, port = pairs.get(b"host", b""), pairs.get(b"port", b"0")
    if name is None or not _HOST.fullmatch(host) or not _is_port(port):
        return MALFORMED
    token = _token(pairs.get(b"auth", b""))
    place = host.decode("ascii"), int(port) or None
    return (yield from _judged(TokenWanted(mechanism, token, name, *place), terms))


def serve_xoauth2(initial: bytes | None, mechanism: str, terms: ServerTerms) -> Script:
    """user=NAME ^A auth=Bearer TOKEN ^A ^A."""
    pairs = _pairs(b"\x01" + (yield from first_heard(initial)))
    name = text_of(pairs.get(b"user", b"")) if pairs else None
    if pairs is None or name is None:
        return MALFORMED
    token = _token(pairs.get(b"auth", b""))
    return (yield from _judged(TokenWanted(mechanism, token, name), terms))


def _judged(question: TokenWanted, terms: ServerTerms) -> Script:
    """The outcome; if the token is not good, the client is told why first."""
    outcome: Success | Refusal = REFUSED
    why = terms.no_token
    if question.token:
        answer = yield from _asked(question)
        if isinstance(answer, Identity):
            outcome = settled(answer, question.name)
        elif answer is not None:
            why = answer
    if isinstance(outcome, Refusal):
        yield from heard(_complaint(question.mechanism, why))
    return outcome


def _asked(
    question: TokenWanted,
) -> Generator[Question, bytes | Answer, Identity | TokenRefused | None]:
    sent = yield question
    if sent is not None and not isinstance(sent, Identity | TokenRefused):
        raise TypeError("TokenWanted is answered with an Identity, a TokenRefused or None")
    return sent


def _complaint(mechanism: str, why: TokenRefused) -> bytes:
    """The challenge in JSON (RFC 7628 section 3.2.2)."""
    said = {"status": why.status}
    if mechanism == XOAUTH2:
        said = {"status": _NUMBERS.get(why.status, "401"), "schemes": "bearer"}
    if why.scope:
        said["scope"] = why.scope
    if why.configuration and mechanism != XOAUTH2:
        said["openid-configuration"] = why.configuration
    return json.dumps(said, separators=(",", ":")).encode("ascii")


def _is_port(digits: bytes) -> bool:
    return _PORT.fullmatch(digits) is not None and int(digits) <= 65535


def _pairs(octets: bytes) -> Mapping[bytes, bytes] | None:
    """^A, then each pair with a ^A after it, then ^A.

    None if the octets differ or a key is repeated.
    """
    if octets[:1] != b"\x01" or octets[-1:] != b"\x01" or len(octets) < 2:
        return None
    inner = octets[1:-1]
    if not inner:
        return {}
    if not inner.endswith(b"\x01"):
        return None
    pairs: dict[bytes, bytes] = {}
    for text in inner[:-1].split(b"\x01"):
        pair = _PAIR.fullmatch(text)
        if pair is None or pair[1] in pairs:
            return None
        pairs[pair[1]] = pair[2]
    return pairs


def _token(auth: bytes) -> str:
    """The token of `Bearer TOKEN`; "" if there is none: the client only asks what is needed."""
    bearer = _BEARER.fullmatch(auth)
    return bearer[1].decode("ascii") if bearer else ""


def speak_oauthbearer(mechanism: str, credentials: Credentials, terms: ClientTerms) -> ClientScript:
    """One message, and ^A in answer to any error of the server (RFC 7628 section 3.2.3)."""
    pairs = [b"host=" + credentials.host.encode("ascii")] if credentials.host else []
    pairs += [b"port=%d" % credentials.port] if credentials.port else []
    pairs += [b"auth=" + _bearer(credentials), b"", b""]
    header = write_header(b"n", credentials.authzid or credentials.user)
    yield Response(b"\x01".join([header, *pairs]), last=True)
    yield Response(b"\x01")
    return None


def speak_xoauth2(mechanism: str, credentials: Credentials, terms: ClientTerms) -> ClientScript:
    """One message, and an empty one in answer to any error of the server."""
    user = b"user=" + (credentials.authzid or credentials.user).encode("utf-8")
    yield Response(b"\x01".join([user, b"auth=" + _bearer(credentials), b"", b""]), last=True)
    yield Response(b"")
    return None


def _bearer(credentials: Credentials) -> bytes:
    return b"Bearer " + (credentials.token or "").encode("ascii")


def fits_token(credentials: Credentials, terms: ClientTerms) -> bool:
    """True if there is a token, and a name and a host that may stand beside it."""
    name = credentials.authzid or credentials.user
    return (
        bool(credentials.token and _TOKEN.fullmatch(credentials.token))
        and is_text(name)
        and "\x01" not in name
        and bool(_HOST.fullmatch(credentials.host.encode("utf-8", "replace")))
    )
