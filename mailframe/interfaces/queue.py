"""`[queue]`: where accepted mail waits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from zope.interface import Interface

from ..eventual import Eventual
from ..message import Content, Entry, Envelope, Pending


class IDraft(Interface):
    """A message that is being written into the queue. Nobody else can see it yet."""

    def write(octets: bytes) -> Eventual[None]:
        """Add octets to the body. A Deferred asks the writer to wait (back-pressure).

        Raises OSError if the store cannot take them; then only abort() may be called.
        """

    def content() -> Content:
        """The octets written so far, with an empty prefix. Valid until commit or abort."""

    def commit(envelope: Envelope, headers: bytes, lease: float | None = None) -> Eventual[Entry]:
        """Make it durable: once this returns, the message survives `kill -9` and a power cut.

        `headers` are the whole lines to put on top. If `lease` is not None, the message is leased
        to the caller from the start, until that time in seconds since the epoch, so that the caller
        may deliver the returned Entry without a claim. `envelope.received` is the time of creation,
        from which the recipients are due. If `envelope.held` gives a reason, the message is on hold
        from the start, as by `change`. Fails with OSError if it could not be made durable
        (`errno.ENOSPC` or `EDQUOT` for a full disk); then nothing remains.
        """

    def abort() -> None:
        """Discard the draft; nothing remains. Harmless after commit, and if called twice."""


class LeaseLost(Exception):
    """The lease is not ours any more: somebody else has it, or we gave it back. Changed nothing."""


class IQueueStore(Interface):
    """`[queue]`: where accepted messages wait. There is exactly one store.

    All workers of a host, or of several hosts, share it, unless it provides IShardedStore: then
    each worker has a part of its own.

    Times are in seconds since the epoch and come from the caller; the store has no clock. A change
    is durable when its Eventual is done. A damaged message is logged and set aside, where
    `corrupt()` lists it, and is never deleted; all other messages go on.

    A lease says that its owner works on a message until a certain time. Each start of each process
    is another owner (`Site.owner`). After the lease's end anybody may claim the message, so that
    the messages of a lost process come back. Until somebody does, its owner may still renew or
    record it.
    """

    def begin(envelope: Envelope) -> IDraft:
        """A draft for this transaction. Raises OSError (ENOSPC) if the disk is full."""

    def claim(
        now: float, limit: int, until: float, excluding: frozenset[str] = frozenset()
    ) -> Eventual[Sequence[Entry]]:
        """Lease up to `limit` messages that have a recipient due at `now`, most overdue first.

        The leases end at `until`. `Entry.pending` has all recipients that wait, also those that are
        not due yet. Held and leased messages are left out, and so are messages whose due recipients
        are all in the domains `excluding` (lower case), which are known to be down. Two claims at
        the same time never get the same message.
        """

    def renew(ids: Sequence[str], until: float) -> Eventual[frozenset[str]]:
        """Move the end of our leases to `until`. Returns the ids that are still ours."""

    def record(id: str, pending: Sequence[Pending], release: bool = True) -> Eventual[None]:
        """Replace all waiting recipients with these, in one atomic step.

        Recipients that are left out are finished; there may be new ones (an alias was expanded). If
        none are left, the message is finished and removed. `release` gives the lease back. Fails
        with LeaseLost if the lease is not ours any more. Does nothing if the message is gone.
        """

    def release(ids: Sequence[str]) -> Eventual[None]:
        """Give our leases back; the messages are due as before. Ignores those that are not ours."""

    def watch(call: Callable[[], None]) -> None:
        """Arrange for `call()` to be called in the reactor's thread when a message may be due.

        It is called after another owner added a message without a lease, gave one back, recorded
        what is left of one, or changed one. It need not be called for what this owner does. Too
        many calls do no harm. A store that only one process uses never calls it.
        """

    def next_due() -> Eventual[float | None]:
        """When the next unheld message is due or its lease ends; None if there is none."""

    def find(
        after: str = "",
        limit: int = 100,
        address: str = "",
        hold: bool | None = None,
        due_after: float | None = None,
    ) -> Eventual[Sequence[Entry]]:
        """One page of messages, with ids after `after`, oldest first.

        `address` selects messages with this sender or recipient, or with any of a domain
        ("@domain"). `hold` selects those that are held (True) or not (False). `due_after` selects
        those that have no recipient due at that time; each start asks for them, so this should be
        cheap if there are none.
        """

    def get(id: str) -> Eventual[Entry | None]:
        """One message, leased or not; None if there is none with that id."""

    def counts() -> Eventual[dict[str, int]]:
        """Numbers of "messages", "recipients" (due or not), "held", "leased" and "corrupt"."""

    def change(ids: Sequence[str], verb: str, now: float) -> Eventual[Sequence[str]]:
        """Do "hold", "release" (from hold), "retry" (due at `now`) or "delete".

        Returns the ids that were changed. A leased message can be held or retried, which takes
        effect when its lease ends, but it cannot be deleted. ValueError for any other verb.
        """

    def corrupt() -> Eventual[Sequence[str]]:
        """The messages set aside as damaged: one line for each, with its place and the reason."""

    def close() -> Eventual[None]:
        """Finish commits that have begun, give all leases back, and release files and threads."""


class IShardedStore(IQueueStore):
    """A store that keeps a separate part for each worker process (`Site.worker`).

    To see the whole queue, all workers must be asked. Only one process at a time opens a part. If
    there are fewer workers than before, the remaining workers also open the parts of those that
    are gone, and deliver their messages.
    """

    def shards() -> Sequence[int]:
        """The numbers of the workers whose parts exist, including other workers. Opens nothing."""
