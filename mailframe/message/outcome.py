"""What became of a recipient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from ..smtp.reply import Reply
from .envelope import Recipient


class Status(Enum):
    """What became of one recipient (RFC 3464 section 2.3.3 names the actions)."""

    DELIVERED = "delivered"  # in the mailbox
    RELAYED = "relayed"  # taken by a host that does not speak DSN
    PASSED_ON = "passed on"  # taken by a host that reports for itself (RFC 3461)
    EXPANDED = "expanded"  # stands for others now
    DEFERRED = "delayed"  # tried again later
    FAILED = "failed"  # for good; becomes a report


@dataclass(frozen=True, slots=True)
class Outcome:
    """A delivery agent's answer for one recipient.

    `reply` is the remote host's words or, if `ours`, the agent's own; `remote` the host that
    it dealt with, "" for none. `retry_after`: seconds, the least wait the agent asks for, or
    None; what is longer than any of `retry.waits` is cut short when the host starts again.
    `facts` are what else the trace should show ("tls": "TLSv1.3 …"); two outcomes that differ
    in them alone are equal. `no_session` is True if the host refused to talk, by its greeting or
    its answer to EHLO, STARTTLS or AUTH: that says nothing of the message.
    """

    recipient: Recipient
    status: Status
    reply: Reply
    remote: str = ""
    retry_after: float | None = None
    facts: Mapping[str, str] = field(default_factory=dict, compare=False)
    ours: bool = False
    no_session: bool = False
