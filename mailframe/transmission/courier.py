"""One attempt to deliver one message to one next hop, through any of its hosts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, TypeAlias

from ..eventual import Eventual, settled
from ..message import Message, NextHop, Outcome, Recipient, Route, Status, TlsDemand, TlsUse
from ..message.tls_demand import stricter
from ..smtp.address import Mailbox
from ..smtp.reply import Reply
from .connection import ServerConnection
from .content import InThread
from .exchanges import OURSELVES, Exchanges, Nowhere, Target
from .form import Forms, MessageForms
from .leaving import Depart, Leaving
from .opener import Unusable, for_now
from .pool import Pool
from .times import Timeouts
from .transaction import NOTHING, RecipientVerdict, Transaction, Verdicts

NOT_DIALLED = Reply(451, "No host could be tried", "4.4.1")
_TRIED = 10  # exchanges whose words an outcome tells
_WORDS = 200  # characters of each


#: Asks what TLS with an exchange of a domain has to be like; see `mailframe.plugin.Site`.
Demand: TypeAlias = Callable[[str, str], Eventual[TlsDemand | Reply | None]]


class Courier:
    """Delivers over SMTP or LMTP.

    At most `addresses` addresses are dialled in one attempt, shared equally between the hosts. At
    most `recipients` recipients share a transaction. `any_line` and `final` are those of `Forms`.
    `agent` is the name of the delivery agent. `depart` and `demand` ask the hooks; they are None if
    there are no hooks to ask.
    """

    def __init__(
        self,
        *,
        exchanges: Exchanges,
        pool: Pool,
        timeouts: Timeouts,
        in_thread: InThread,
        addresses: int = 5,
        recipients: int = 50,
        final: bool = False,
        agent: str = "smtp",
        depart: Depart | None = None,
        demand: Demand | None = None,
        any_line: bool = False,
    ) -> None:
        self.exchanges = exchanges
        self.pool = pool
        self.timeouts = timeouts
        self.in_thread = in_thread
        self.addresses = addresses
        self.recipients = recipients
        self.final = final
        self.agent = agent
        self.depart = depart
        self.demand = demand
        self.any_line = any_line

    async def deliver(
        self,
        message: Message,
        hop: NextHop,
        recipients: Sequence[Recipient],
        sender: Mailbox | None,
        spelled: Mapping[Recipient, Mailbox] = NOTHING,
    ) -> list[Outcome]:
        """An outcome for each recipient, in their order. `sender` is the reverse-path to use.

        `spelled` are recipients of whom the server is told by another address than theirs.
        """
        attempt = _Attempt(self, message, hop, recipients, sender, spelled)
        await attempt.run()
        return [attempt.outcomes[recipient] for recipient in recipients]


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why mail was not taken: the reply, the host that it is about, and if the host said it.

    `no_session` is True if the host refused a session altogether. `place` is what was tried, as it
    is shown, and `turn` its number among all failures of the attempt.
    """

    reply: Reply
    host: str = ""
    ours: bool = True
    no_session: bool = False
    connection: ServerConnection | None = None
    place: str = ""
    turn: int = 0

    def __str__(self) -> str:
        words = str(self.reply)
        words = f"{words[:_WORDS]}…" if len(words) > _WORDS else words
        return f"{self.place}: {words}"


class _Attempt:
    """The state of an attempt: the recipients still open, and the failures so far."""

    def __init__(
        self,
        courier: Courier,
        message: Message,
        hop: NextHop,
        recipients: Sequence[Recipient],
        sender: Mailbox | None,
        spelled: Mapping[Recipient, Mailbox],
    ) -> None:
        self.outcomes: dict[Recipient, Outcome] = {}
        self._courier = courier
        self._hop = hop
        self._sender = sender
        self._spelled = spelled
        self._open = list(dict.fromkeys(recipients))
        self._forms = self._forms_of(message)
        self._failures: list[_Failure] = []  # of hosts
        self._refusals: dict[Recipient, list[_Failure]] = {}  # another host may accept
        self._asked: set[tuple[Recipient, Target]] = set()  # that the target has answered
        self._turns = count()

    def _forms_of(self, message: Message) -> MessageForms:
        courier = self._courier
        forms = Forms(message, courier.in_thread, any_line=courier.any_line, final=courier.final)
        if courier.depart is None:
            return forms
        routes = [Route(courier.agent, each, next_hop=self._hop) for each in self._open]
        return Leaving(forms, self._sender, routes, courier.depart)

    async def run(self) -> None:
        """Try host by host and address by address, until every recipient has a verdict.

        RFC 5321 section 5.1: each is tried in turn until a delivery succeeds. Another host may take
        what one refuses temporarily.
        """
        resting = self._courier.pool.resting(self._hop)
        if resting is not None and await self._is_secure(resting):
            await self._at(resting, only_resting=True)
        if self._open:
            await self._by_host()
        for recipient in list(self._open):
            self._settle(recipient, self._reason(recipient))

    async def _by_host(self) -> None:
        """Try a share of the allowed addresses for each host, then the remaining addresses."""
        hosts = await self._hosts()
        share = max(1, self._courier.addresses // max(1, len(hosts)))
        left, others = self._courier.addresses, list[Target]()
        for host in hosts:
            targets = await self._targets(host)
            if targets is None:
                break
            others += targets[share:]
            left = await self._at_each(targets[:share], left)
        await self._at_each(others, left)

    async def _at_each(self, targets: Sequence[Target], left: int) -> int:
        """Try these while recipients are open. Returns how many addresses may still be dialled."""
        for target in targets[:left]:
            if self._open:
                left -= 1
                await self._at(target)
        return left

    async def _hosts(self) -> list[str]:
        try:
            return await self._courier.exchanges.hosts(self._hop)
        except Nowhere as failed:
            self._nowhere(failed.reply, self._hop.host)
            return []

    async def _targets(self, host: str) -> list[Target] | None:
        """The host's addresses; None if the host is this one, and the next ones are no better.

        RFC 5321 section 5.1: mail sent to those would come back here.
        """
        if not self._open:
            return []
        try:
            targets = await self._courier.exchanges.targets(host, self._hop)
        except Nowhere as failed:
            self._nowhere(failed.reply, host)
            return None if failed.reply == OURSELVES else []
        demand = await self._demanded(targets[0].host) if targets else None
        if isinstance(demand, Reply):
            self._failures.append(self._failure(demand, host))
            return []
        return [_secured(each, self._hop, demand) for each in targets]

    async def _demanded(self, exchange: str) -> TlsDemand | Reply | None:
        """What the policies demand of TLS with this host. They are not asked about unix sockets."""
        demand = self._courier.demand
        if demand is None or self._hop.lookup == "unix":
            return None
        return await settled(demand(self._courier.exchanges.domain(self._hop), exchange))

    async def _is_secure(self, resting: Target) -> bool:
        """True if a connection that was opened before is as secure as is demanded now."""
        demand = await self._demanded(resting.host)
        return not isinstance(demand, Reply) and _secured(resting, self._hop, demand) == resting

    def _nowhere(self, reply: Reply, place: str) -> None:
        # If the operator named the host, the mistake is in the settings, not the sender's.
        reply = for_now(reply) if self._hop.by_operator else reply
        self._failures.append(self._failure(reply, place))

    def _failure(self, reply: Reply, place: object, host: str = "", **more: Any) -> _Failure:
        return _Failure(reply, host, place=str(place), turn=next(self._turns), **more)

    async def _at(self, target: Target, only_resting: bool = False) -> None:
        """Hand over as much as this target takes, some recipients at a time.

        `only_resting` uses an idle connection and does not open a new one.
        """
        pool, fresh = self._courier.pool, False
        # Those that this target has not answered yet, perhaps over an idle connection.
        waiting = [each for each in self._open if (each, target) not in self._asked]
        while waiting:
            try:
                connection, used = await pool.take(target, self._hop, fresh=fresh)
            except Unusable as failed:
                # No host spoke: that marks mail that waits for a dead host (Outcome.remote).
                spoken = failed.spoken
                host = target.remote if spoken else ""
                self._failures.append(
                    self._failure(failed.reply, target, host, ours=not spoken, no_session=spoken)
                )
                return
            verdicts = await self._transaction(target, connection, waiting)
            if verdicts.lost is not None:
                if not used:
                    failure = self._failure(
                        verdicts.lost, target, target.remote, ours=not verdicts.spoken
                    )
                    self._failures.append(failure)
                    return
                # The connection was lost while it was idle, which says nothing about the host.
                fresh = True
            if only_resting and waiting and (fresh or pool.resting(self._hop) != target):
                return

    async def _transaction(
        self, target: Target, connection: ServerConnection, waiting: list[Recipient]
    ) -> Verdicts:
        """One transaction for the first waiting recipients. Those with an answer wait no more."""
        most = connection.dialogue.extensions.limit("RCPTMAX") or self._courier.recipients
        batch = waiting[: min(most, self._courier.recipients)]
        run = Transaction(
            connection, self._forms, self._sender, batch, self._courier.timeouts, self._spelled
        ).run()
        try:
            verdicts = await run
        except BaseException:
            connection.drop()
            raise
        finally:
            self._courier.pool.give_back(target, self._hop, connection)
        for verdict in verdicts.said:
            waiting.remove(verdict.recipient)
            self._asked.add((verdict.recipient, target))
            failure = self._failure(
                verdict.reply, target, target.remote, ours=verdict.ours, connection=connection
            )
            if self._is_final(verdict):
                self._settle(verdict.recipient, failure)
            else:
                self._refusals.setdefault(verdict.recipient, []).append(failure)
        return verdicts

    @staticmethod
    def _is_final(verdict: RecipientVerdict) -> bool:
        """True if no other exchange has to be asked about this recipient.

        A permanent reply of a server counts for all exchanges. But if this server does not
        understand an address, or does not take messages of this size, another one may.
        """
        return (
            verdict.here or verdict.reply.positive or (verdict.reply.permanent and not verdict.ours)
        )

    def _reason(self, recipient: Recipient) -> _Failure:
        """The failure to report when all hosts were tried: permanent only if all of them were.

        A reply about the recipient says more than that a host could not be reached.
        """
        refusals = self._refusals.get(recipient, [])
        reasons = [*self._failures, *refusals]
        for failure in reversed(reasons):
            if not failure.reply.permanent and (failure in refusals or not refusals):
                return failure
        temporary = [failure for failure in reasons if not failure.reply.permanent]
        return (temporary or reasons or [_Failure(NOT_DIALLED)])[-1]

    def _settle(self, recipient: Recipient, reason: _Failure) -> None:
        self._open.remove(recipient)
        facts: dict[str, str] = {}
        connection = reason.connection
        if connection is not None:
            facts = {"peer": connection.name, "tls": connection.tls_words}
        tried = self._tried(recipient, reason)
        if tried:
            facts["tried"] = tried
        status = self._status(reason.reply, connection)
        self.outcomes[recipient] = Outcome(
            recipient,
            status,
            reason.reply,
            reason.host,
            facts=facts,
            ours=reason.ours,
            no_session=reason.no_session,
        )

    def _tried(self, recipient: Recipient, reason: _Failure) -> str:
        """What failed first, in the words of each, for the trace; "" if the reason says all."""
        refusals = self._refusals.get(recipient, ())
        failures = sorted((*self._failures, *refusals), key=lambda failure: failure.turn)
        if not failures or failures == [reason]:
            return ""
        more = [f"and {len(failures) - _TRIED} more"] if len(failures) > _TRIED else []
        return "; ".join([*map(str, failures[:_TRIED]), *more])

    def _status(self, reply: Reply, connection: ServerConnection | None) -> Status:
        if reply.permanent:
            return Status.FAILED
        if not reply.positive or connection is None:
            return Status.DEFERRED
        if self._courier.final:
            return Status.DELIVERED
        reports = "DSN" in connection.dialogue.extensions
        return Status.PASSED_ON if reports else Status.RELAYED


def _secured(target: Target, hop: NextHop, demand: TlsDemand | None) -> Target:
    """The target with the stricter of two demands, that of its route and that of a policy."""
    use, certificates, policy = hop.tls, None, ""
    if demand is not None:
        certificates, policy = demand.certificates, demand.policy
        least: TlsUse = "opportunistic" if certificates is None else "require"
        use = stricter(use, stricter(demand.use, least))
    if (target.tls, target.certificates) == (use, certificates):
        return target
    return replace(target, tls=use, certificates=certificates, policy=policy)
