"""What all sessions of one listener share, and the reply to an error of this host."""

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

#: Makes a draft durable with these header lines on top, and lets it be delivered.
Commit = Callable[[IDraft, Envelope, bytes], Eventual[Entry]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What all sessions of one listener share.

    `commit(draft, envelope, headers)` makes a message durable and gives it to the scheduler; it
    fails as IDraft.commit does. `now()` is seconds since the epoch; all other times are the
    reactor's. `certificates` is None if there is no TLS. `in_thread` runs blocking work. `repeated`
    logs errors that a failing store repeats with each message.
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
    """A 4xx for an error of this host, with a new reference that also stands in the log."""
    return Reply(code, f"Local error, try again later (ref {new_reference()})", "4.3.0")
