"""The outcome of a delivery for one recipient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from ..smtp.reply import Reply
from .envelope import Recipient


class Status(Enum):
    """What became of one recipient (RFC 3464 section 2.3.3 names the actions)."""

    DELIVERED = "delivered"  # in the mailbox
    RELAYED = "relayed"  # accepted by a host that does not support DSN
    PASSED_ON = "passed on"  # accepted by a host that sends reports itself (RFC 3461)
    EXPANDED = "expanded"  # replaced by other recipients
    DEFERRED = "delayed"  # to be tried again later
    FAILED = "failed"  # permanently; a report is sent


@dataclass(frozen=True, slots=True)
class Outcome:
    """A delivery agent's answer for one recipient.

    `reply` is the remote host's reply or, if `ours`, the agent's own. `remote` is the remote host,
    "" for none. `retry_after` is the shortest wait, in seconds, that the agent asks for, or None;
    if it is longer than every wait in `retry.waits`, a restart of the host cuts it short. `facts`
    are further fields for the trace ("tls": "TLSv1.3 …"); outcomes that differ only in them are
    equal. `no_session` is True if the host refused to talk, by its greeting or its reply to EHLO,
    STARTTLS or AUTH: that says nothing about the message.
    """

    recipient: Recipient
    status: Status
    reply: Reply
    remote: str = ""
    retry_after: float | None = None
    facts: Mapping[str, str] = field(default_factory=dict, compare=False)
    ours: bool = False
    no_session: bool = False
