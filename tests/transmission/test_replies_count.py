"""Every reply that came counts, and what one exchange refuses for now another may take."""

from __future__ import annotations

from typing import Any

from scripted_peer import DROP, Network, Peer, message, recipients
from twisted.trial.unittest import SynchronousTestCase

from mailframe.message import NextHop, Outcome, Recipient, Status
from mailframe.smtp.address import Mailbox

FIRST, SECOND = ["mx.peer.example", "mx2.peer.example"]


class Case(SynchronousTestCase):
    def deliver(self, network: Network, *to: str, hop: NextHop | None = None) -> list[Outcome]:
        begun = network.begin(message(), recipients(*to or ("r@peer.example",)), hop)
        return self.successResultOf(begun)  # type: ignore[no-any-return]

    def two(self, first: Peer, second: Peer | None = None, **options: Any) -> tuple[Network, Peer]:
        """A domain with two exchanges."""
        network = Network(first, **options)
        other = second or Peer(domain=SECOND)
        network.zone.mxs["peer.example"] = [(10, FIRST), (20, SECOND)]
        network.zone.hosts[SECOND] = ["9.9.9.10"]
        network.world.peers["9.9.9.10", 25] = other
        return network, other


class Saying(Peer):
    """Says one thing to a command, then hangs up: DENYDISCONNECT, as many appliances do it."""

    def __init__(self, key: str, reply: str, **options: Any) -> None:
        super().__init__(says={key: reply}, **options)
        self.key = key

    def reply(self, key: str, default: str) -> str:
        said = super().reply(key, default)
        if key == self.key:
            wire = self.transports[-1]
            wire.world.later(wire.world.later, wire.hang_up)
        return said


class TestRepliesBeforeTheEnd(Case):
    def test_refused_and_hung_up(self) -> None:
        """A 550 is final though the connection went away behind it, pipelined or not."""
        for extensions in (("PIPELINING",), ()):
            for key in ("MAIL", "RCPT"):
                peer = Saying(key, "550 5.7.1 Your host is blocked", extensions=extensions)
                [outcome] = self.deliver(Network(peer))
                assert outcome.status is Status.FAILED, (extensions, key)
                assert str(outcome.reply) == "550 5.7.1 Your host is blocked"

    def test_who_was_refused_before_the_end(self) -> None:
        """One by one, too: the 550 that came is final though the next got no answer."""
        for end in (DROP, "?", "250 fine\n250 and again"):
            says = {"RCPT <a@peer.example>": "550 5.1.1 who?", "RCPT <b@peer.example>": end}
            a, b = self.deliver(
                Network(Peer(extensions=(), says=says)), "a@peer.example", "b@peer.example"
            )
            assert a.status is Status.FAILED and str(a.reply) == "550 5.1.1 who?"
            assert b.status is Status.DEFERRED and b.reply.temporary

    def test_a_421_is_the_words_of_who_says_it(self) -> None:
        """Whichever command it answers; it is told as the host's words, not as ours."""
        for key in ("MAIL", "RCPT", "DATA", "DOT"):
            for extensions in (("PIPELINING",), ()):
                peer = Peer(extensions=extensions, says={key: "421 4.3.2 going down"})
                [outcome] = self.deliver(Network(peer))
                assert outcome.status is Status.DEFERRED, (extensions, key)
                assert str(outcome.reply) == "421 4.3.2 going down"
                assert outcome.remote == FIRST and not outcome.ours

    def test_those_without_an_answer_are_tried_elsewhere(self) -> None:
        """One was refused; the server went away before it answered for the other."""
        first = Peer(
            says={"RCPT <a@peer.example>": "550 5.1.1 who?", "RCPT <b@peer.example>": DROP}
        )
        network, other = self.two(first)
        a, b = self.deliver(network, "a@peer.example", "b@peer.example")
        assert a.status is Status.FAILED and str(a.reply) == "550 5.1.1 who?"
        assert b.status is Status.PASSED_ON and len(other.messages) == 1
        assert not any("a@peer" in line for line in other.said)


class TestTheNextExchange(Case):
    def test_a_4xx_goes_to_the_next_exchange(self) -> None:
        """RFC 5321 section 5.1: each is tried until a delivery succeeds."""
        for key in ("MAIL", "RCPT", "DATA", "DOT"):
            network, other = self.two(Peer(says={key: "451 4.3.2 not now"}))
            [outcome] = self.deliver(network)
            assert outcome.status is Status.PASSED_ON, key
            assert outcome.remote == SECOND and len(other.messages) == 1

    def test_a_5xx_does_not(self) -> None:
        """It is about the message, whichever host says it."""
        network, other = self.two(Peer(says={"RCPT": "550 5.1.1 who?"}))
        [outcome] = self.deliver(network)
        assert outcome.status is Status.FAILED and not other.sessions

    def test_only_those_who_were_put_off_go_there(self) -> None:
        """Who was taken by the first is not sent to the second."""
        network, other = self.two(Peer(says={"RCPT <b@peer.example>": "450 4.2.1 greylisted"}))
        a, b = self.deliver(network, "a@peer.example", "b@peer.example")
        assert (a.remote, b.remote) == (FIRST, SECOND)
        asked = [line for line in other.said if line.startswith("RCPT")]
        assert len(asked) == 1 and asked[0].startswith("RCPT TO:<b@peer.example>")

    def test_no_host_takes_it(self) -> None:
        """The host's words about the recipient are the outcome, not that another was dead."""
        first = Peer(says={"RCPT": "451 4.7.1 greylisted"})
        network, _ = self.two(first, Peer(says={"GREETING": DROP}))
        [outcome] = self.deliver(network)
        assert outcome.status is Status.DEFERRED and outcome.remote == FIRST
        assert str(outcome.reply) == "451 4.7.1 greylisted"

    def test_a_resting_connection_is_not_asked_twice(self) -> None:
        """Who was put off over a connection that rested is not asked again over another."""
        peer = Peer(says={"RCPT": ["250 fine", "451 4.3.2 later"]})
        network = Network(peer)
        self.deliver(network)
        [outcome] = self.deliver(network)
        assert outcome.status is Status.DEFERRED and len(peer.sessions) == 1
        assert sum(line.startswith("RCPT") for line in peer.said) == 2

    def test_too_big_for_one_exchange(self) -> None:
        """A SIZE of one exchange is that one's alone; for good only if none takes it."""
        small = ("PIPELINING", "SIZE 5")
        network, other = self.two(Peer(extensions=small))
        [outcome] = self.deliver(network)
        assert outcome.remote == SECOND and len(other.messages) == 1
        network, _ = self.two(Peer(extensions=small), Peer(extensions=small))
        [outcome] = self.deliver(network)
        assert outcome.status is Status.FAILED and outcome.reply.status == "5.3.4"
        assert outcome.ours

    def test_dead_addresses_leave_some_for_the_next(self) -> None:
        """Six dead addresses of the first exchange do not keep mail from the second."""
        network, other = self.two(Peer())
        network.zone.hosts[FIRST] = [f"9.9.8.{number}" for number in range(6)]
        [outcome] = self.deliver(network)
        assert outcome.remote == SECOND and len(other.messages) == 1


class TestWhoNamedTheHost(Case):
    def test_the_operator(self) -> None:
        """A smarthost that is not to be found is a mistake in the settings: mail waits."""
        for lookup in ("mx", "host"):
            network = Network()
            network.zone.hosts["private.example"] = ["10.0.0.1"]
            for host in ("none.example", "private.example"):
                hop = NextHop(host, lookup, configured=True)  # type: ignore[arg-type]
                [outcome] = self.deliver(network, hop=hop)
                assert outcome.status is Status.DEFERRED, (lookup, host)

    def test_the_recipient(self) -> None:
        """An address literal that nobody may dial is the sender's mistake."""
        for literal in ("[10.0.0.1]", "[127.0.0.1]"):
            hop = NextHop(literal, "host", configured=False)
            [outcome] = self.deliver(Network(), hop=hop)
            assert outcome.status is Status.FAILED and outcome.reply.status == "5.4.4"

    def test_a_literal_of_ours(self) -> None:
        """It would come back to us: said at once, not after fifty rounds."""
        hop = NextHop("[9.9.9.9]", "host", private=True, configured=False)
        network = Network(own=("9.9.9.9",))
        [outcome] = self.deliver(network, hop=hop)
        assert outcome.status is Status.FAILED and outcome.reply.status == "5.4.6"
        assert not network.peer.sessions


class TestLoops(Case):
    def test_every_name_of_ours_is_known(self) -> None:
        """In the greeting or in the answer to EHLO, by the name in EHLO or the host's."""
        for says in ({"GREETING": "220 mx.us.example ESMTP"}, {"EHLO": "250-MX.us.example\n250 A"}):
            network = Network(Peer(says=dict(says)), names=("mx.us.example",))
            [outcome] = self.deliver(network)
            assert outcome.status is Status.FAILED and outcome.reply.status == "5.4.6", says


class TestListMembers(Case):
    def test_orcpt_of_a_member_is_its_own(self) -> None:
        """RFC 3461 section 5.2.7.1: not derived from the address of the list."""
        network = Network()
        [member] = recipients("u1@peer.example")
        owner, news = Mailbox("owner-news", "us.example"), Mailbox("news", "us.example")
        of_list = Recipient(member.address, None, "rfc822;news@us.example", (news,), owner)
        self.successResultOf(network.begin(message(), [of_list]))
        [rcpt] = [line for line in network.peer.said if line.startswith("RCPT")]
        assert rcpt.endswith("ORCPT=rfc822;u1@peer.example")
