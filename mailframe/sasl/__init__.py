"""FLOOR 1: the language of authentication. SASL's mechanisms (RFC 4422), both sides.

Standard library only: no Twisted, no clock, no I/O; it knows no protocol. Octets go in, values
come out.
"""

from .channel_binding import (
    BINDING_TYPES,
    EXPORTER_LABEL,
    EXPORTER_LENGTH,
    TLS_EXPORTER,
    TLS_SERVER_END_POINT,
    server_end_point,
)
from .stored_keys import DEFAULT_ITERATIONS, SALT_OCTETS, StoredKeys
from .text import saslprep

__all__ = [
    "BINDING_TYPES",
    "DEFAULT_ITERATIONS",
    "EXPORTER_LABEL",
    "EXPORTER_LENGTH",
    "SALT_OCTETS",
    "TLS_EXPORTER",
    "TLS_SERVER_END_POINT",
    "StoredKeys",
    "saslprep",
    "server_end_point",
]
