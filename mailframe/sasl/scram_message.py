"""The four messages of SCRAM as values (RFC 5802 section 7).

The functions that read return None for octets that are no such message. That includes messages with
an extension that must be understood ("m="), because none is. Other extensions are ignored.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error
from dataclasses import dataclass

from .gs2 import HEADER, NAME, read_name, write_header, write_name
from .stored_keys import KEY_OCTETS

SCRAM = "SCRAM-SHA-256"
SCRAM_PLUS = "SCRAM-SHA-256-PLUS"
MAX_MESSAGE = 4096  # octets
NONCE_OCTETS = 18  # random octets; 24 characters in base64

_NONCE = rb"r=(?P<nonce>[!-+\--~]{1,512})"
_BASE64 = rb"[A-Za-z0-9+/]+={0,2}"
_EXTENSIONS = rb"(?:,[A-Za-ln-oq-z]=[^\x00,]+)*"  # neither "m=" nor the proof "p="

_CLIENT_FIRST = re.compile(
    rb"(?P<header>" + HEADER + rb")"
    rb"(?P<bare>n=(?P<name>" + NAME + rb")," + _NONCE + _EXTENSIONS + rb")"
)
_CLIENT_FINAL = re.compile(
    rb"(?P<bare>c=(?P<binding>" + _BASE64 + rb")," + _NONCE + _EXTENSIONS + rb")"
    rb",p=(?P<proof>" + _BASE64 + rb")"
)
_SERVER_FIRST = re.compile(
    _NONCE + rb",s=(?P<salt>" + _BASE64 + rb"),i=(?P<iterations>[1-9][0-9]{0,9})" + _EXTENSIONS
)
_SERVER_FINAL = re.compile(rb"v=(?P<signature>" + _BASE64 + rb")" + _EXTENSIONS)


@dataclass(frozen=True, slots=True)
class ClientFirst:
    """The first message: who wants to log in. `flag` is b"n", b"y" or b"p".

    `binding_type` is "" unless the flag is b"p". `header` and `bare` are the two parts of the
    message as they were sent; both are signed.
    """

    header: bytes
    bare: bytes
    flag: bytes
    binding_type: str
    authzid: str
    name: str
    nonce: bytes


@dataclass(frozen=True, slots=True)
class ClientFinal:
    """The proof.

    `bare` is the message without it; `binding` is the header and the channel binding.
    """

    bare: bytes
    binding: bytes
    nonce: bytes
    proof: bytes


@dataclass(frozen=True, slots=True)
class ServerFirst:
    """What the client needs to compute its proof."""

    nonce: bytes
    salt: bytes
    iterations: int


def read_client_first(message: bytes) -> ClientFirst | None:
    """The message of RFC 5802 section 5, `n,,n=user,r=nonce`."""
    found = _matched(_CLIENT_FIRST, message)
    if found is None:
        return None
    name = read_name(found["name"])
    authzid = read_name(found["authzid"]) if found["authzid"] else ""
    if name is None or authzid is None:
        return None
    binding_type = (found["binding_type"] or b"").decode("ascii")
    flag = found["flag"][:1]
    header, bare, nonce = found["header"], found["bare"], found["nonce"]
    return ClientFirst(header, bare, flag, binding_type, authzid, name, nonce)


def write_client_first(flag: bytes, authzid: str, name: str, nonce: bytes) -> tuple[bytes, bytes]:
    """The header and the rest of the message, which are signed separately.

    `flag` may be `p=TYPE`.
    """
    return write_header(flag, authzid), b"n=" + write_name(name) + b",r=" + nonce


def read_server_first(message: bytes) -> ServerFirst | None:
    """`r=nonce,s=salt,i=iterations`."""
    found = _matched(_SERVER_FIRST, message)
    salt = _decoded(found["salt"]) if found else None
    if found is None or salt is None:
        return None
    return ServerFirst(found["nonce"], salt, int(found["iterations"]))


def write_server_first(said: ServerFirst) -> bytes:
    """Write `r=nonce,s=salt,i=iterations`."""
    return b"r=%b,s=%b,i=%d" % (said.nonce, b64encode(said.salt), said.iterations)


def read_client_final(message: bytes) -> ClientFinal | None:
    """`c=binding,r=nonce,p=proof`."""
    found = _matched(_CLIENT_FINAL, message)
    if found is None:
        return None
    binding, proof = _decoded(found["binding"]), _decoded(found["proof"])
    if binding is None or proof is None or len(proof) != KEY_OCTETS:
        return None
    return ClientFinal(found["bare"], binding, found["nonce"], proof)


def write_client_final_bare(binding: bytes, nonce: bytes) -> bytes:
    """The message without the proof, which signs it."""
    return b"c=%b,r=%b" % (b64encode(binding), nonce)


def write_proof(proof: bytes) -> bytes:
    """The proof, to be appended to that."""
    return b",p=" + b64encode(proof)


def read_server_final(message: bytes) -> bytes | None:
    """The ServerSignature of `v=signature`; None also for `e=error`."""
    found = _matched(_SERVER_FINAL, message)
    return _decoded(found["signature"]) if found else None


def write_server_final(signature: bytes) -> bytes:
    """Write `v=signature`."""
    return b"v=" + b64encode(signature)


def auth_message(*messages: bytes) -> bytes:
    """What both sides sign: the messages without header and proof, in this order.

    They are client-first without its header, server-first, and client-final without its proof.
    """
    return b",".join(messages)


def _matched(pattern: re.Pattern[bytes], message: bytes) -> re.Match[bytes] | None:
    return pattern.fullmatch(message) if len(message) <= MAX_MESSAGE else None


def _decoded(text: bytes) -> bytes | None:
    """The octets, if this is their one correct base64; so no two texts can be the same proof."""
    try:
        octets = b64decode(text, validate=True)
    except Error:
        return None
    return octets if b64encode(octets) == text else None
