"""Channel bindings, which tie an exchange to the TLS connection that it runs in.

Everywhere in this room `bindings` maps the name of a type to its octets. The TLS layer makes them:
`tls-exporter` (RFC 9266) is EXPORTER_LENGTH octets of keying material for EXPORTER_LABEL, with an
empty context, and before TLS 1.3 only with the extended master secret (RFC 7627).
`tls-server-end-point` (RFC 5929 section 4) is `server_end_point` of the server's certificate.
`tls-unique` (RFC 5929 section 3) is the client's Finished message of the first handshake. It is not
defined for TLS 1.3, and with older versions it needs the extended master secret as well.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

TLS_EXPORTER = "tls-exporter"
TLS_UNIQUE = "tls-unique"
TLS_SERVER_END_POINT = "tls-server-end-point"
# In the order in which a client prefers them. RFC 5802 section 6.1: before TLS 1.3 every
# implementation knows tls-unique.
BINDING_TYPES = (TLS_UNIQUE, TLS_EXPORTER, TLS_SERVER_END_POINT)

EXPORTER_LABEL = b"EXPORTER-Channel-Binding"  # RFC 9266 section 2
EXPORTER_LENGTH = 32  # octets


def server_end_point(certificate: bytes, signature_hash: str) -> bytes:
    """The octets of `tls-server-end-point` for a server's certificate in DER.

    `signature_hash` is the hash of the certificate's signature algorithm, by its name in hashlib. A
    certificate whose signature uses none (Ed25519) has no such binding. Raises ValueError for an
    unknown hash.
    """
    # RFC 5929 section 4.1: SHA-256 is used in place of MD5 and SHA-1.
    weak = signature_hash.lower() in ("md5", "sha1")
    return hashlib.new("sha256" if weak else signature_hash, certificate).digest()


def check_bindings(types: Iterable[str]) -> None:
    """Raises ValueError for a type of channel binding that is not supported."""
    unknown = set(types).difference(BINDING_TYPES)
    if unknown:
        raise ValueError(f"no such channel binding: {', '.join(sorted(unknown))}")
