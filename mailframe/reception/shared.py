"""What all sessions of one listener share, and the reply to a fault of ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger

from ..eventual import Eventual
from ..hooks import new_reference
from ..interfaces import IDraft, IQueueStore
from ..message import Entry, Envelope
from ..repeated import RepeatedLog
from ..settings import Limits, Listener
from ..smtp.reply import Reply
from ..wire.certificates import Certificates

if TYPE_CHECKING:
    from ..hooks import Hooks

_log = Logger()

#: What makes a draft durable with these header lines on top, and lets it be tried.
Commit = Callable[[IDraft, Envelope, bytes], Eventual[Entry]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What all sessions of one listener share.

    `commit(draft, envelope, headers)` makes a message durable and gives it to the scheduler;
    it fails as IDraft.commit does. `now()` is seconds since the epoch; `reactor` keeps all
    other times. `certificates` is None if no TLS is spoken. `in_thread` runs what
    blocks. `repeated` is for what a failing store repeats with each message.
    """

    hostname: str
    listener: Listener
    limits: Limits
    hooks: Hooks
    store: IQueueStore
    certificates: Certificates | None
    reactor: Any
    now: Callable[[], float]
    commit: Commit
    in_thread: Callable[..., Deferred[Any]] = maybeDeferred
    repeated: RepeatedLog = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "repeated", RepeatedLog(_log, self.reactor.seconds))


def fault_reply(code: int = 451) -> Reply:
    """A 4xx with a new reference that joins it with the log, for a fault of ours."""
    return Reply(code, f"Local error, try again later (ref {new_reference()})", "4.3.0")
