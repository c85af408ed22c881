"""`[queue]`: where accepted mail waits."""

from __future__ import annotations

from collections.abc import Sequence

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

    def commit(envelope: Envelope, headers: bytes, claimed: bool = False) -> Eventual[Entry]:
        """Make it durable: once this returns, the message outlives `kill -9` and a power cut.

        `headers` are the whole lines to put on top. `claimed` leases it to this process from
        birth, so that the caller may deliver the returned Entry without a claim; otherwise
        the Entry is there for any claim. Fails with OSError where it could not be made
        durable (`errno.ENOSPC` or `EDQUOT` for a full disk); nothing remains then.
        """

    def abort() -> None:
        """Forget it; nothing remains. Harmless after commit and when called twice."""


class IQueueStore(Interface):
    """`[queue]`: where accepted messages wait. Exactly one; nothing else knows where.

    Times are seconds since the epoch, given by the caller; the store has no clock. All
    changes are durable when their Eventual is done. A lease is this process's word that it
    works on a message; when it runs out anybody may claim the message again, so that what
    a lost process held comes back. A damaged message is set aside where `corrupt()` counts
    it, logged, and never deleted; the rest goes on.
    """

    def begin(envelope: Envelope) -> IDraft:
        """A draft for this transaction. Raises OSError (ENOSPC) where the disk is full."""

    def claim(
        now: float, limit: int, lease: float, excluding: frozenset[str] = frozenset()
    ) -> Eventual[Sequence[Entry]]:
        """Lease up to `limit` messages that have a recipient due at `now`, most overdue first.

        `lease` is seconds. `Entry.pending` holds all recipients that wait, those not due yet
        too. Held and leased messages are left alone; so are those whose due recipients
        are all in the domains `excluding` (lower case): destinations known to be down.
        """

    def renew(ids: Sequence[str], until: float) -> Eventual[frozenset[str]]:
        """Prolong our leases to `until`; the ids that are still ours."""

    def record(id: str, pending: Sequence[Pending], release: bool = True) -> Eventual[None]:
        """Put these recipients in place of all that waited, in one atomic step.

        Those left out are done for; the new ones may be others (an alias expanded). None
        left means the message is finished and removed. `release` gives the lease back.
        """

    def release(ids: Sequence[str]) -> Eventual[None]:
        """Give leases back unchanged: the messages are due as they were."""

    def next_due() -> Eventual[float | None]:
        """When the next unheld message is due or its lease runs out; None for an empty queue."""

    def find(
        after: str = "", limit: int = 100, address: str = "", hold: bool | None = None
    ) -> Eventual[Sequence[Entry]]:
        """A page of messages by id, those after `after`; oldest first.

        `address` keeps those with this sender or recipient, "@domain" those of a domain.
        """

    def get(id: str) -> Eventual[Entry | None]:
        """One message, leased or not; None where there is none of that name."""

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

    One process at a time opens a part. Where there are fewer workers than before, a worker
    that is left opens the parts of those that are gone as well, and works them off.
    """

    def shards() -> Sequence[int]:
        """The workers whose parts exist, this one's own or not. Opens nothing."""
