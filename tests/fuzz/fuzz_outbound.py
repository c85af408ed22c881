"""The way out against servers that answer at random, and an oracle of what must come of it.

A round is a small network of exchanges (fuzz_peers), some deliveries over one pool with a clock
of its own, and then, from what the peers wrote down:

- every recipient has one outcome, and what a peer said in it is told as that peer's words;
- who was taken and told so is not reported as failed, who was refused not as taken, and nobody
  is handed over a second time after it was taken;
- a refusal that was heard is in the outcome's words, if no later one explains it;
- nothing goes in the clear where TLS is demanded, nothing is said that was not offered;
- no connection, turn or timer is left in the pool.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from fuzz_faults import heard_faults
from fuzz_peers import EXTENSIONS, Asked, Conversation, Said, WildPeer, WildWorld
from fuzz_replies import Broken
from scripted_peer import Zone, in_thread, message
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from mailframe.message import Message, NextHop, Outcome, Recipient, Status, TlsDemand
from mailframe.message.tls_demand import stricter
from mailframe.names.records import Unresolvable
from mailframe.smtp.address import Mailbox
from mailframe.smtp.reply import Reply
from mailframe.transmission import ClientTls, Courier, Exchanges, Opener, Pool, Timeouts

MOST_EVENTS = 20_000  # calls of the clock in a round; more is a circle
BODIES = (
    b"Subject: hi\r\n\r\nhello\r\n",
    b"Subject: dots\r\n\r\n.\r\n..\r\n.a\r\n",
    b"\r\n",
    b"Subject: long\r\n\r\n" + b"0123456789abcdef\r\n" * 9000,
    b"Subject: eight\r\n\r\n\xc3\xa9\r\n",
)
_TLS = ClientTls()
_SUCCESS = (Status.RELAYED, Status.PASSED_ON, Status.DELIVERED)


@dataclass(eq=False)
class Delivery:
    """One call of the courier: `result` is its outcomes or a Failure, None while it goes on."""

    mail: Message
    recipients: list[Recipient]
    body: bytes
    result: Any = None
    was_cancelled: bool = False
    running: Deferred[Any] | None = None

    def ended(self, result: Any) -> None:
        if self.result is not None:
            raise Broken("a delivery ended twice")
        self.result = result


@dataclass
class Round:
    """A network and what is sent through it, out of a seed."""

    random: Random
    world: WildWorld = field(default_factory=WildWorld)
    deliveries: list[Delivery] = field(default_factory=list)
    wild: float = 0.0

    def __post_init__(self) -> None:
        random = self.random
        self.wild = random.choice((0.0, 0.03, 0.1, 0.3))
        self.lmtp = random.random() < 0.25
        self.private = random.random() < 0.3
        tls = ("never", "opportunistic", "opportunistic", "require", "verify", "implicit")
        self.tls: Any = random.choice(tls)
        self.user = random.choice((None, None, None, "bob"))
        self.demands: dict[str, TlsDemand | Reply | None] = {}
        zone = Zone({"peer.example": []}, {})
        for number in range(random.choice((1, 1, 2, 3))):
            self._add_host(zone, f"mx{number}.peer.example", number)
        self.pool = self._pool()
        self.courier = Courier(
            exchanges=Exchanges(zone, "us.example", Random(random.random()), private=True),
            pool=self.pool,
            timeouts=Timeouts(),
            in_thread=in_thread,
            addresses=random.choice((1, 2, 5)),
            recipients=random.choice((1, 2, 3, 50)),
            final=self.lmtp,
            demand=lambda domain, exchange: self.demands.get(exchange),
            any_line=self.lmtp,
        )

    def _pool(self) -> Pool:
        random = self.random
        opener = Opener(
            hostname="us.example",
            reactor=self.world,
            tls=_TLS,
            timeouts=Timeouts(),
            lmtp=self.lmtp,
        )
        return Pool(
            opener,
            self.world,
            connections=random.choice((1, 1, 2, 20)),
            idle=random.choice((0.0, 2.0, 10.0, 500.0)),
            messages=random.choice((1, 2, 100)),
            back_off=random.choice((0.0, 20.0)),
        )

    def _add_host(self, zone: Zone, host: str, number: int) -> None:
        random = self.random
        zone.mxs["peer.example"].append((random.choice((10, 20)), host))
        if random.random() < self.wild / 2:
            zone.hosts[host] = Unresolvable("SERVFAIL", temporary=random.random() < 0.5)
            return
        demand: Any = random.choice(("opportunistic", "require", "verify"))
        self.demands[host] = TlsDemand(demand) if random.random() < 0.1 else None
        if random.random() < self.wild / 4:
            self.demands[host] = Reply(451, "No policy is known", "4.7.5")
        found = self.demands[host]
        use = stricter(self.tls, found.use) if isinstance(found, TlsDemand) else self.tls
        zone.hosts[host] = [f"9.{number}.0.{at}" for at in range(1, random.choice((2, 2, 3)))]
        for address in zone.hosts[host]:
            self.world.wild[address] = self._peer(host, use)

    def _peer(self, host: str, use: str) -> WildPeer | str:
        random = self.random
        if random.random() < self.wild:
            return random.choice(("refused", "silent"))
        offered = [each for each in EXTENSIONS if random.random() < 0.5]
        if random.random() < 0.5 or self.lmtp:
            offered.append("PIPELINING")
        if random.random() < 0.7:
            offered.append("STARTTLS")
        if random.random() < 0.5:
            offered.append(f"SIZE {random.choice((0, 1000, 1000000))}")
        if self.user and random.random() < 0.9:
            offered.append(random.choice(("AUTH PLAIN LOGIN", "AUTH LOGIN", "AUTH SCRAM-SHA-256")))
        if random.random() < 0.1:
            offered.append(f"LIMITS RCPTMAX={random.choice((1, 2, 9))} MAILMAX=2")
        random.shuffle(offered)
        return WildPeer(host, random, self.wild, tuple(offered), self.lmtp, use, self.private)

    def play(self) -> None:
        """Everything, until nothing moves. Raises Broken."""
        with heard_faults() as faults:
            self._send_all()
            self._until_still()
            self._judge_pool()
        if faults:
            raise Broken(f"the log: {faults[0]}")
        for delivery in self.deliveries:
            self._judge(delivery)
        for conversation in self._conversations():
            if conversation.wrongs and not conversation.confused:
                raise Broken(f"the client said {conversation.wrongs[0]}")

    def _send_all(self) -> None:
        random = self.random
        at = 0.0
        for number in range(random.choice((1, 1, 2, 4))):
            self.world.callLater(at, self._begin, number)
            at += random.choice((0.0, 0.0, 1.0, 5.0, 60.0, 1000.0))
        if random.random() < 0.1:
            self.world.callLater(random.choice((0.0, 5.0, 500.0)), self._close)

    def _close(self) -> None:
        self.pool.close()
        self.world.callLater(10.0, self.pool.abort)

    def _begin(self, number: int) -> None:
        random = self.random
        locals = [f"r{number}x{at}" for at in range(random.choice((1, 1, 2, 3, 7)))]
        if random.random() < 0.1:
            locals[random.randrange(len(locals))] += "é"
        if random.random() < 0.1:
            locals.append(locals[0])
        to = [Recipient(Mailbox(local, "peer.example"), self._notify()) for local in locals]
        to = list({each.address: each for each in to}.values())
        body = random.choice(BODIES)
        mail = message(
            body,
            sender=random.choice((None, Mailbox("s", "client.example"))),
            body="7BIT" if body.isascii() else "8BITMIME",
            recipients=tuple(to),
        )
        delivery = Delivery(mail, to, body)
        hop = NextHop(
            "peer.example", tls=self.tls, user=self.user, password="secret", private=self.private
        )
        sender = mail.envelope.sender
        self.deliveries.append(delivery)
        running = Deferred.fromCoroutine(self.courier.deliver(mail, hop, to, sender))
        delivery.running = running
        running.addBoth(delivery.ended)
        if random.random() < 0.1:
            self.world.callLater(random.choice((0.0, 5.0, 200.0, 1000.0)), self._cancel, delivery)

    def _notify(self) -> frozenset[str] | None:
        return self.random.choice((None, None, frozenset({"NEVER"}), frozenset({"FAILURE"})))

    def _cancel(self, delivery: Delivery) -> None:
        if delivery.result is None and delivery.running is not None:
            delivery.was_cancelled = True
            delivery.running.cancel()

    def _until_still(self) -> None:
        world = self.world
        for _ in range(MOST_EVENTS):
            world.run()
            calls = world.getDelayedCalls()
            if not calls:
                return
            world.advance(max(0.0, min(call.getTime() for call in calls) - world.seconds()))
        raise Broken("it never ends")

    def _conversations(self) -> Iterator[Conversation]:
        for peer in self.world.wild.values():
            if isinstance(peer, WildPeer):
                yield from peer.conversations

    def _judge_pool(self) -> None:
        """Nothing is left, not even before it is closed: all that rests has rested enough."""
        self.pool.forget_pauses()
        if rows := list(self.pool.state()):
            raise Broken(f"the pool ends with {rows[0]}")
        if any(wire.is_open for wire in self.world.wires):
            raise Broken("a connection is still open")
        closed: list[Any] = []
        self.pool.close().addBoth(closed.append)
        self.world.run()
        if closed != [None] or self.world.getDelayedCalls():
            raise Broken(f"the pool does not close: {closed}")

    def _judge(self, delivery: Delivery) -> None:
        result = delivery.result
        if isinstance(result, Failure):
            if not (delivery.was_cancelled and result.check(CancelledError)):
                raise Broken(f"a delivery failed: {result.value!r}")
            return
        if result is None:
            raise Broken("a delivery never ended")
        if [each.recipient for each in result] != delivery.recipients:
            raise Broken(f"outcomes for {[str(each.recipient.address) for each in result]}")
        for outcome in result:
            try:
                self._judge_outcome(delivery, outcome)
            except Broken as wrong:
                raise Broken(f"{outcome.recipient.address}: {wrong}; {_shown(outcome)}") from None

    def _asked(self, recipient: str) -> list[Asked]:
        """The transactions that this recipient was in."""
        return [
            asked
            for conversation in self._conversations()
            for asked in conversation.asked
            if recipient in asked.rcpts
        ]

    def _judge_outcome(self, delivery: Delivery, outcome: Outcome) -> None:
        status, reply = outcome.status, outcome.reply
        if (status in _SUCCESS, status is Status.FAILED) != (reply.positive, reply.permanent):
            raise Broken("status and reply disagree")
        quoted = self.world.tokens(reply.text)
        for said in quoted:
            if not said.counts:
                raise Broken(f"the words of {said}, which it cannot have heard")
            if outcome.ours or outcome.remote != said.host:
                raise Broken(f"the words of {said.host}, told as ours or another's")
        recipient = str(outcome.recipient.address).lower()
        asked = self._asked(recipient)
        if any(each.conversation.confused for each in asked):
            return
        self._judge_taking(delivery, outcome, recipient, asked)
        self._judge_words(outcome, recipient, asked, quoted)

    def _judge_taking(
        self, delivery: Delivery, outcome: Outcome, recipient: str, asked: list[Asked]
    ) -> None:
        """A peer may count it as taken although its answer was lost: then it is not failed."""
        took = [each for each in asked if _has_taken(each, recipient)]
        told = [each for each in took if each.finals[recipient].counts]
        if len(took) > 1:
            raise Broken("handed over twice in one delivery")
        if took and outcome.status is Status.FAILED:
            raise Broken("taken, and reported as failed")
        if told and outcome.status not in _SUCCESS:
            raise Broken("taken and told so, and not reported as taken")
        if outcome.status in _SUCCESS:
            if not told:
                raise Broken("reported as taken by nobody")
            if delivery.body.isascii() and took[0].content != delivery.body:
                raise Broken("it has arrived as something else")

    def _judge_words(
        self, outcome: Outcome, recipient: str, asked: list[Asked], quoted: list[Said]
    ) -> None:
        heard = [said for each in asked for said in each.about(recipient)]
        refusals = [
            said for said in heard if said.code >= 400 and said.code != 421 and not said.is_too_many
        ]
        final = [said for said in refusals if said.code >= 500]
        if final and (outcome.status is not Status.FAILED or not set(quoted) & set(final)):
            raise Broken(f"refused for good: {final[0]}")
        # Who goes away amid the content may have it: that is more than an earlier "not now".
        lost = any(each.began and not _is_told(each, recipient) for each in asked)
        kept = outcome.status is Status.DEFERRED and refusals and not (lost and outcome.ours)
        if kept and not any(said.code >= 400 for said in quoted if said in heard):
            raise Broken(f"the words of {refusals[-1]} are lost")
        meant = any(said.code >= 500 for said in quoted if said in heard or self._ended(said))
        if outcome.status is Status.FAILED and not outcome.ours and not meant:
            raise Broken("failed by words that were not about it")

    def _ended(self, said: Said) -> bool:
        """Whether it answered a MAIL: perhaps the peer was not told all recipients then."""
        return any(
            asked.mail is said
            for conversation in self._conversations()
            for asked in conversation.asked
        )

    def shown(self) -> str:
        """All that was said."""
        lines = [f"wild {self.wild} tls {self.tls} lmtp {self.lmtp} user {self.user}"]
        for conversation in self._conversations():
            peer = conversation.peer
            lines += [f"--- {peer.host} {peer.extensions}", *conversation.lines]
        for delivery in self.deliveries:
            result = delivery.result
            lines += map(_shown, result) if isinstance(result, list) else [repr(result)]
        return "\n".join(lines)


def _is_told(asked: Asked, recipient: str) -> bool:
    final = asked.finals.get(recipient)
    return recipient not in asked.accepted or (final is not None and final.counts)


def _has_taken(asked: Asked, recipient: str) -> bool:
    said = asked.finals.get(recipient)
    return said is not None and said.code < 300 and bool(asked.content)


def _shown(outcome: Outcome) -> str:
    by = "ours" if outcome.ours else outcome.remote
    return f"{outcome.recipient.address}: {outcome.status.name} {outcome.reply} ({by})"


def outbound_round(name: str) -> Round:
    """The round of this name, SEED:INDEX."""
    return Round(Random(name))
