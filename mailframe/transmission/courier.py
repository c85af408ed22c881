"""One attempt to bring one message to one next hop, whichever of its hosts takes it."""

from __future__ import annotations

from collections.abc import Sequence

from ..message import Message, NextHop, Outcome, Recipient, Status, Tls
from ..smtp.address import Mailbox
from ..smtp.reply import Reply
from .connection import Connection
from .content import InThread
from .exchanges import OURSELVES, Exchanges, Nowhere, Target
from .form import Forms
from .opener import Unusable, for_now
from .pool import Pool
from .times import Waits
from .transaction import Transaction, Verdicts

NOT_DIALLED = Reply(451, "No host could be tried", "4.4.1")


class Courier:
    """Delivers over SMTP or LMTP.

    `addresses` are dialled in one attempt at most; `recipients` share a transaction at most.
    """

    def __init__(
        self,
        *,
        exchanges: Exchanges,
        pool: Pool,
        waits: Waits,
        in_thread: InThread,
        addresses: int = 5,
        recipients: int = 50,
        final: bool = False,
    ) -> None:
        self.exchanges = exchanges
        self.pool = pool
        self.waits = waits
        self.in_thread = in_thread
        self.addresses = addresses
        self.recipients = recipients
        self.final = final

    async def deliver(
        self,
        message: Message,
        hop: NextHop,
        recipients: Sequence[Recipient],
        sender: Mailbox | None,
    ) -> list[Outcome]:
        """An outcome for each recipient, in their order. `sender` is the reverse-path to use."""
        attempt = _Attempt(self, message, hop, recipients, sender)
        await attempt.run()
        return [attempt.outcomes[recipient] for recipient in recipients]


class _Attempt:
    """What is still open in an attempt, and what has gone wrong so far."""

    def __init__(
        self,
        courier: Courier,
        message: Message,
        hop: NextHop,
        recipients: Sequence[Recipient],
        sender: Mailbox | None,
    ) -> None:
        self.outcomes: dict[Recipient, Outcome] = {}
        self._courier = courier
        self._hop = hop
        self._sender = sender
        self._forms = Forms(message, courier.in_thread)
        self._open = list(dict.fromkeys(recipients))
        self._failures: list[tuple[Reply, str]] = []  # and the host, "" for none

    async def run(self) -> None:
        """Host by host and address by address, until everybody has a verdict."""
        resting = self._courier.pool.resting(self._hop)
        if resting is not None:
            await self._at(resting, only_resting=True)
        dialled = 0
        for host in await self._hosts() if self._open else []:
            targets = await self._targets(host)
            if targets is None:
                break
            for target in targets:
                if self._open and dialled < self._courier.addresses:
                    dialled += 1
                    await self._at(target)
        for recipient in list(self._open):
            self._settle(recipient, *self._worst())

    async def _hosts(self) -> list[str]:
        try:
            return await self._courier.exchanges.hosts(self._hop)
        except Nowhere as failed:
            self._nowhere(failed.reply)
            return []

    async def _targets(self, host: str) -> list[Target] | None:
        """The host's addresses; None where it is ourselves, and those after it are no better.

        RFC 5321 section 5.1: to send to those would have the mail come back here.
        """
        if not self._open:
            return []
        try:
            return await self._courier.exchanges.targets(host, self._hop)
        except Nowhere as failed:
            self._nowhere(failed.reply)
            return None if failed.reply == OURSELVES else []

    def _nowhere(self, reply: Reply) -> None:
        # A host that the operator named is a mistake in the settings, not the sender's.
        self._failures.append((for_now(reply) if self._hop.lookup == "host" else reply, ""))

    async def _at(self, target: Target, only_resting: bool = False) -> None:
        """Hand over as much as this target takes, some recipients at a time.

        `only_resting`: a connection to it rests, and new ones are not to be opened.
        """
        pool, fresh = self._courier.pool, False
        while self._open:
            try:
                connection, used = await pool.take(target, self._hop, fresh=fresh)
            except Unusable as failed:
                # Nobody spoke: what waits for a dead host is known by that (Outcome.remote).
                self._failures.append((failed.reply, target.remote if failed.spoken else ""))
                return
            verdicts = await self._transaction(target, connection)
            if verdicts.lost is not None:
                if not used:
                    self._failures.append((verdicts.lost, target.remote))
                    return
                # It had gone while it rested, which says nothing about the host.
                fresh = True
            if only_resting and self._open and (fresh or pool.resting(self._hop) != target):
                return

    async def _transaction(self, target: Target, connection: Connection) -> Verdicts:
        most = connection.dialogue.extensions.limit("RCPTMAX") or self._courier.recipients
        batch = self._open[: min(most, self._courier.recipients)]
        run = Transaction(connection, self._forms, self._sender, batch, self._courier.waits).run()
        try:
            verdicts = await run
        except BaseException:
            connection.drop()
            raise
        finally:
            self._courier.pool.give_back(target, self._hop, connection)
        for recipient, reply in verdicts.replies:
            self._settle(recipient, reply, target.remote, connection)
        return verdicts

    def _worst(self) -> tuple[Reply, str]:
        """The reason that is left when all hosts were tried: for good only if all were."""
        for reply, host in reversed(self._failures):
            if not reply.permanent:
                return reply, host
        return self._failures[-1] if self._failures else (NOT_DIALLED, "")

    def _settle(
        self, recipient: Recipient, reply: Reply, host: str, connection: Connection | None = None
    ) -> None:
        self._open.remove(recipient)
        facts: dict[str, str] = {}
        if connection is not None:
            facts = {"peer": connection.name, "tls": _words(connection.tls, self._hop)}
        status = self._status(reply, connection)
        self.outcomes[recipient] = Outcome(recipient, status, reply, host, facts=facts)

    def _status(self, reply: Reply, connection: Connection | None) -> Status:
        if reply.permanent:
            return Status.FAILED
        if not reply.positive or connection is None:
            return Status.DEFERRED
        if self._courier.final:
            return Status.DELIVERED
        reports = "DSN" in connection.dialogue.extensions
        return Status.PASSED_ON if reports else Status.RELAYED


def _words(tls: Tls | None, hop: NextHop) -> str:
    """For the trace: "TLSv1.3 TLS_AES_256_GCM_SHA384, verified", or "none"."""
    if tls is None:
        return "none"
    verified = ", verified" if hop.tls in ("verify", "implicit") else ""
    return f"{tls.version} {tls.cipher}{verified}"
