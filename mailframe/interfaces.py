"""FLOOR 3: every hook on one page.

What a plugin provides, when it is asked, what its answers mean, and what is true
afterwards. Where a return type says `Eventual[X]`, the method may return an X, a
coroutine of X (write it `async def`) or a Deferred of X; a value at hand is quickest.

For all of them: None is "no opinion". A `Reply` is the decision in the words that the
client reads. An exception or a timeout is the plugin's fault: it is logged with a reference,
the client reads a 4xx with that reference, and no door opens.

`[[auth]]` plugins provide `twisted.cred.checkers.ICredentialsChecker` for
`IUsernamePassword`: `requestAvatarId` returns the user's name (bytes or str) or fails with
UnauthorizedLogin; the first that says yes decides. `[[serve]]` plugins provide
`twisted.application.service.IService`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from zope.interface import Attribute, Interface

from .eventual import Eventual
from .message import (
    Client,
    Content,
    Entry,
    Envelope,
    Event,
    Finding,
    Message,
    Outcome,
    Pending,
    Recipient,
    Redirect,
    Route,
)
from .smtp.reply import Reply


class IRelayPolicy(Interface):
    """`[[relay]]`: may this client send to this recipient through us?

    Asked once per RCPT, in the order of the configuration; the first opinion decides. When
    nobody speaks the answer is 550 5.7.1: relaying is closed until a plugin opens it, and
    no other hook can open it.
    """

    def judge(envelope: Envelope, recipient: Recipient) -> Eventual[Reply | None]:
        """A positive Reply (`RECIPIENT_OK`) opens, a negative one refuses, None passes on.

        `envelope.recipients` holds those accepted before this one. Anything else than a
        Reply or None is a fault, and a fault never opens.
        """


class ILocalDomains(IRelayPolicy):
    """A relay policy that opens to everybody for domains whose mail ends here."""

    def domains() -> Iterable[str]:
        """Those that can be named; without the ones that a pattern stands for."""


class IFilter(Interface):
    """`[[filter]]`: speaks at connect, hello, sender, recipient and content.

    All are asked, in order; a negative Reply refuses that command, and the asking stops
    there. A Finding adds signals and header fields and goes on. A positive Reply and None
    have no opinion. Subclass `mailframe.plugin.Filter` to write only what you need.
    """

    def connected(client: Client) -> Eventual[Reply | Finding | None]:
        """Before the greeting. A refusal takes its place and the connection closes."""

    def hello(client: Client) -> Eventual[Reply | Finding | None]:
        """At HELO, EHLO or LHLO; `client.hello` is set."""

    def sender(envelope: Envelope) -> Eventual[Reply | Finding | None]:
        """At MAIL; `envelope.sender` is set and there are no recipients."""

    def recipient(envelope: Envelope, recipient: Recipient) -> Eventual[Reply | Finding | None]:
        """At RCPT, after relay and route agreed to this recipient."""

    def content(envelope: Envelope, content: Content) -> Eventual[Reply | Finding | None]:
        """At the end of the content, before it is made durable.

        `content` is what will be stored; opening a large one blocks: do that in a thread.
        """


class IRouter(Interface):
    """`[[route]]`: where does mail for this recipient go?

    Asked at RCPT, so that an unknown mailbox is refused in the dialogue, and anew at every
    delivery attempt. The first opinion decides. When nobody speaks: 550 5.1.2.
    """

    def route(
        envelope: Envelope, recipient: Recipient
    ) -> Eventual[Route | Redirect | Reply | None]:
        """A Route takes it, a Redirect names others to ask about, a negative Reply refuses.

        Must be free of side effects: it is asked as often as somebody wants to know.
        """


class IDeliveryAgent(Interface):
    """`[deliver.NAME]`: brings one message to recipients that share a destination."""

    def deliver(message: Message, routes: Sequence[Route]) -> Eventual[Iterable[Outcome]]:
        """One Outcome per route, told apart by `route.recipient`.

        DELIVERED, RELAYED and PASSED_ON mean that the message outlives a power cut in the
        recipient's mailbox or at the next host; it is forgotten here then. A missing Outcome,
        an exception and a timeout count as DEFERRED. Every `route.recipient` is set.
        """


class IBatchingAgent(IDeliveryAgent):
    """An agent that does together what it is given at the same time, so it wants many calls."""

    at_once = Attribute(
        "how many calls of `deliver` it takes at a time for each destination, in place of"
        " `retry.per_destination`"
    )


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


class IObserver(Interface):
    """`[[observe]]`: sees every decision."""

    wants = Attribute("""frozenset of Event.stage names that are of interest; None for all.""")

    def observe(event: Event) -> None:
        """Must return at once: what takes long is put aside for a thread. Result ignored."""


class ITrace(IObserver):
    """An observer that remembers: what `mailframe trace` asks."""

    def events(of: str, limit: int = 1000) -> Eventual[Sequence[Event]]:
        """The decisions about a message, by its id, or about an address's latest messages.

        `of` is an id, or a mailbox that was sender or recipient; oldest first.
        """


class IUserStore(Interface):
    """An auth plugin whose users `mailframe user` can list and change. These methods block."""

    def names() -> Sequence[str]:
        """All users, sorted."""

    def set_password(name: str, password: str, create: bool) -> None:
        """Durably. KeyError for a user that is there (`create`) or is not (otherwise);
        ValueError for a name or password that cannot be."""

    def remove(name: str) -> None:
        """Durably. KeyError where there is none."""

    def test(name: str, password: str) -> bool:
        """Whether this password lets this user in."""
