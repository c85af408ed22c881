"""FLOOR 1: authentication: the mechanisms of SASL (RFC 4422), for servers and clients.

A protocol room that uses only the standard library: no Twisted, no clock, no I/O. It knows no
protocol such as SMTP. Octets go in, values come out. A server asks `offerable` what it can offer,
and `begin`s an Exchange, which asks for what it needs (is this the password, stored keys, a token,
a certificate) and waits for the answer. A client `choose`s a mechanism and makes an `attempt`.
"""

from .channel_binding import (
    BINDING_TYPES,
    EXPORTER_LABEL,
    EXPORTER_LENGTH,
    TLS_EXPORTER,
    TLS_SERVER_END_POINT,
    TLS_UNIQUE,
    server_end_point,
)
from .client import ClientExchange, Credentials
from .exchange import Exchange
from .mechanism import MECHANISMS, Ability, Mechanism, attempt, begin, choose, offerable
from .step import (
    Answer,
    CertificateWanted,
    Challenge,
    Identity,
    KeysFound,
    KeysWanted,
    PasswordWanted,
    Question,
    Reason,
    Refusal,
    Step,
    Success,
    TokenRefused,
    TokenWanted,
)
from .stored_keys import DEFAULT_ITERATIONS, SALT_OCTETS, StoredKeys
from .terms import ClientTerms, ServerTerms
from .text import is_name, saslprep

__all__ = [
    "BINDING_TYPES",
    "DEFAULT_ITERATIONS",
    "EXPORTER_LABEL",
    "EXPORTER_LENGTH",
    "MECHANISMS",
    "SALT_OCTETS",
    "TLS_EXPORTER",
    "TLS_SERVER_END_POINT",
    "TLS_UNIQUE",
    "Ability",
    "Answer",
    "CertificateWanted",
    "Challenge",
    "ClientExchange",
    "ClientTerms",
    "Credentials",
    "Exchange",
    "Identity",
    "KeysFound",
    "KeysWanted",
    "Mechanism",
    "PasswordWanted",
    "Question",
    "Reason",
    "Refusal",
    "ServerTerms",
    "Step",
    "StoredKeys",
    "Success",
    "TokenRefused",
    "TokenWanted",
    "attempt",
    "begin",
    "choose",
    "is_name",
    "offerable",
    "saslprep",
    "server_end_point",
]
