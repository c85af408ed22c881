"""`[queue]`: where accepted mail waits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from zope.interface import Interface

from ..eventual import Eventual
from ..message import Content, Entry, Envelope, Pending


class IDraft(Interface):
    """A message being written into the queue; it does not exist for anybody else yet."""

    def write(octets: bytes) -> Eventual[None]:
        """Add octets to the body. A Deferred asks the writer to wait (back-pressure).

        Raises OSError where the store cannot take them; the draft is good for abort() only.
        """

    def content() -> Content:
        """What has been written so far, with an empty prefix; valid until commit or abort."""

    def commit(envelope: Envelope, headers: bytes, lease: float | None = None) -> Eventual[Entry]:
        """Make it durable: once this returns, the message outlives `kill -9` and a power cut.

        `headers` are the whole lines to put on top. `lease` is the end of a lease that the
        message has from birth, seconds since the epoch, so that the caller may deliver the
        returned Entry without a claim; None leaves it to any claim. `envelope.received` is when
        the message was created, and its recipients are due from then on. If `envelope.held` says
        why, it is on hold from birth, as by `change`. Fails with OSError if it could not be made
        durable (`errno.ENOSPC` or `EDQUOT` for a full disk); nothing remains then.
        """

    def abort() -> None:
        """Forget it; nothing remains. Harmless after commit and when called twice."""


class LeaseLost(Exception):
    """The message is leased to somebody else by now, or was given back: nothing was changed."""


class IQueueStore(Interface):
    """`[queue]`: where accepted messages wait. Exactly one; nothing else knows where.

    It is one store for all workers of a host, or of several hosts, unless it provides
    IShardedStore: then each worker has a part of its own.

    Times are seconds since the epoch, given by the caller; the store has no clock. All
    changes are durable when their Eventual is done. A damaged message is set aside where
    `corrupt()` counts it, logged, and never deleted; the rest goes on.

    A lease is the word of its owner (`Site.owner`, another one for each start of each process)
    that it works on a message until then. After its end anybody may claim the message, so that
    what a lost process held comes back; until somebody does, it is still its owner's to renew
    or to record.
    """

    def begin(envelope: Envelope) -> IDraft:
        """A draft for this transaction. Raises OSError (ENOSPC) where the disk is full."""

    def claim(
        now: float, limit: int, until: float, excluding: frozenset[str] = frozenset()
    ) -> Eventual[Sequence[Entry]]:
        """Lease up to `limit` messages that have a recipient due at `now`, most overdue first.

        The leases end at `until`. `Entry.pending` holds all recipients that wait, those not due
        yet too. Held and leased messages are left alone; so are those whose due recipients
        are all in the domains `excluding` (lower case): destinations known to be down. Nobody
        else is given a message by a claim at the same time.
        """

    def renew(ids: Sequence[str], until: float) -> Eventual[frozenset[str]]:
        """Move the end of our leases to `until`; the ids that are still ours."""

    def record(id: str, pending: Sequence[Pending], release: bool = True) -> Eventual[None]:
        """Put these recipients in place of all that waited, in one atomic step.

        Those left out are done for; the new ones may be others (an alias expanded). None
        left means the message is finished and removed. `release` gives the lease back. Fails
        with LeaseLost if the lease is not ours any more; a message that is gone is left alone.
        """

    def release(ids: Sequence[str]) -> Eventual[None]:
        """Give our leases back unchanged: the messages are due as they were.

        What is not ours is left alone.
        """

    def watch(call: Callable[[], None]) -> None:
        """Have `call()` called in the reactor's thread when something may have become due.

        Called after another owner brought a message that it has not leased, gave one back,
        recorded what is left of one, or changed one; what this owner does need not be told.
        Too many calls do no harm. A store that one process has to itself never calls.
        """

    def next_due() -> Eventual[float | None]:
        """When the next unheld message is due or its lease runs out; None for an empty queue."""

    def find(
        after: str = "",
        limit: int = 100,
        address: str = "",
        hold: bool | None = None,
        due_after: float | None = None,
    ) -> Eventual[Sequence[Entry]]:
        """A page of messages by id, those after `after`; oldest first.

        `address` keeps those with this sender or recipient, "@domain" those of a domain;
        `hold` those that are held or are not; `due_after` those of which no recipient is due
        at that time, and is asked at each start: it should cost little if there are none.
        """

    def get(id: str) -> Eventual[Entry | None]:
        """One message, leased or not; None if there is none of that name."""

    def counts() -> Eventual[dict[str, int]]:
        """How many: "messages", "due"-independent "recipients", "held", "leased", "corrupt"."""

    def change(ids: Sequence[str], verb: str, now: float) -> Eventual[Sequence[str]]:
        """Do "hold", "release" (from hold), "retry" (due at `now`) or "delete"; ids changed.

        A leased message can be held or retried (it takes effect when its lease ends) but
        not deleted. ValueError for another verb.
        """

    def corrupt() -> Eventual[Sequence[str]]:
        """What was set aside as damaged: a line for each, with its place and the reason."""

    def close() -> Eventual[None]:
        """Finish commits under way, give all leases back, let go of files and threads."""


class IShardedStore(IQueueStore):
    """A store that keeps a part of its own for each worker process (`Site.worker`).

    What the whole queue holds is known by asking all workers. One process at a time opens a
    part. If there are fewer workers than before, a worker that is left opens the parts of
    those that are gone as well, and works them off.
    """

    def shards() -> Sequence[int]:
        """The workers whose parts exist, this one's own or not. Opens nothing."""
