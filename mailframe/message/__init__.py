"""FLOOR 4: the values that all rooms pass to each other. They are frozen.

Client, Envelope, Recipient, Content, Message, Route, Redirect, Finding, Departure, TlsDemand,
Outcome, Entry, Event. No value is ever changed; its owner replaces it (`dataclasses.replace`).
`codec` writes them all as JSON and reads them back.
"""

from .client import Client, Tls
from .content import Content, Message
from .departure import Departed, Departure
from .entry import Entry, Pending
from .envelope import Envelope, Recipient
from .event import Event
from .finding import AuthResult, Finding, Without
from .ids import new_id
from .outcome import Outcome, Status
from .route import NextHop, Redirect, Route, TlsUse
from .tls_demand import CertificateJudge, TlsDemand

__all__ = [
    "AuthResult",
    "CertificateJudge",
    "Client",
    "Content",
    "Departed",
    "Departure",
    "Entry",
    "Envelope",
    "Event",
    "Finding",
    "Message",
    "NextHop",
    "Outcome",
    "Pending",
    "Recipient",
    "Redirect",
    "Route",
    "Status",
    "Tls",
    "TlsDemand",
    "TlsUse",
    "Without",
    "new_id",
]
