"""The courier: outcomes for recipients, whatever the hosts of a next hop do."""

from __future__ import annotations

from typing import Any

from scripted_peer import DROP, HANG, Network, Peer, message, recipients
from twisted.internet.defer import CancelledError
from twisted.internet.error import TimeoutError as TookTooLong
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from mailframe.message import NextHop, Outcome, Status
from mailframe.resolver import Unresolvable


class CourierCase(SynchronousTestCase):
    def deliver(self, network: Network, *to: str, **envelope: Any) -> list[Outcome]:
        hop = envelope.pop("hop", None)
        mail = message(**envelope)
        return self.successResultOf(
            network.begin(mail, recipients(*to or ("r@peer.example",)), hop)
        )


class TestDelivery(CourierCase):
    def test_taken_by_a_host_with_dsn_is_passed_on(self) -> None:
        """Who offers DSN reports for itself from there on."""
        network = Network()
        [outcome] = self.deliver(network)
        assert outcome.status is Status.PASSED_ON
        assert outcome.reply.status == "2.0.0" and outcome.reply.text == "taken"
        assert outcome.remote == "mx.peer.example"
        assert outcome.facts == {"peer": "mx.peer.example[9.9.9.9]", "tls": "none"}
        assert network.peer.messages == [b"Subject: hi\r\n\r\nhello\r\n"]

    def test_taken_by_a_host_without_dsn_is_relayed(self) -> None:
        """Who does not offer DSN will not report."""
        [outcome] = self.deliver(Network(Peer(extensions=())))
        assert outcome.status is Status.RELAYED

    def test_outcomes_are_in_the_order_asked(self) -> None:
        """Each recipient has the host's own words for it."""
        peer = Peer(
            says={"RCPT <b@peer.example>": "550 5.1.1 who?", "RCPT <c@peer.example>": "450 wait"}
        )
        a, b, c = self.deliver(Network(peer), "a@peer.example", "b@peer.example", "c@peer.example")
        assert [each.status for each in (a, b, c)] == [
            Status.PASSED_ON,
            Status.FAILED,
            Status.DEFERRED,
        ]
        assert str(b.reply) == "550 5.1.1 who?" and c.reply.status == "4.0.0"

    def test_pipelining_and_its_absence_give_the_same_outcomes(self) -> None:
        """RFC 2920: only the waiting differs."""
        for extensions in ((), ("PIPELINING",)):
            peer = Peer(extensions=extensions, says={"RCPT <b@peer.example>": "550 no"})
            a, b = self.deliver(Network(peer), "a@peer.example", "b@peer.example")
            assert (a.status, b.status) == (Status.RELAYED, Status.FAILED)
            assert len(peer.messages) == 1

    def test_the_same_recipient_twice_is_sent_once(self) -> None:
        """Equal recipients share a RCPT and have an outcome each."""
        network = Network()
        outcomes = self.deliver(network, "a@peer.example", "a@peer.example")
        assert len(outcomes) == 2
        assert sum(line.startswith("RCPT") for line in network.peer.said) == 1

    def test_null_sender_and_dots_go_over_unchanged(self) -> None:
        """Dots at line starts arrive as they were."""
        network = Network()
        octets = b".a\r\n..b\r\n.\r\nc\r\n"
        begun = network.begin(message(octets, sender=None), recipients("r@peer.example"))
        self.successResultOf(begun)
        assert network.peer.messages == [octets]
        assert network.peer.said[1].startswith("MAIL FROM:<> ")

    def test_helo_where_ehlo_is_not_understood(self) -> None:
        """RFC 5321 section 3.2."""
        peer = Peer(says={"EHLO": "500 what?"})
        [outcome] = self.deliver(Network(peer))
        assert outcome.status is Status.RELAYED
        assert peer.said[:2] == ["EHLO us.example", "HELO us.example"]
        assert peer.said[2] == "MAIL FROM:<s@client.example>"

    def test_lmtp_has_a_reply_for_each_recipient(self) -> None:
        """RFC 2033 section 4.2, also where a recipient was refused before."""
        peer = Peer(
            lmtp=True,
            says={"RCPT <b@peer.example>": "550 no", "DOT": ["250 2.0.0 a", "452 4.2.2 full"]},
        )
        network = Network(peer, lmtp=True, final=True)
        outcomes = self.deliver(network, *(f"{name}@peer.example" for name in "abc"))
        assert [each.status for each in outcomes] == [
            Status.DELIVERED,
            Status.FAILED,
            Status.DEFERRED,
        ]
        assert outcomes[2].reply.status == "4.2.2"

    def test_lmtp_keeps_what_was_said_before_the_connection_went(self) -> None:
        """Who was told 250 is not sent it again; the others are."""
        peer = Peer(lmtp=True, says={"DOT": ["250 2.0.0 a", DROP]})
        network = Network(peer, lmtp=True, final=True)
        a, b = self.deliver(network, "a@peer.example", "b@peer.example")
        assert (a.status, b.status) == (Status.DELIVERED, Status.DEFERRED)

    def test_our_own_name_in_its_greeting_is_a_loop(self) -> None:
        """An exchange that is this host under another address is not given the mail."""
        [outcome] = self.deliver(Network(Peer(domain="US.example")))
        assert outcome.status is Status.FAILED and outcome.reply.status == "5.4.6"

    def test_a_backup_exchange_gives_mail_to_better_ones_only(self) -> None:
        """RFC 5321 section 5.1: while those are down it waits, and no worse one is tried."""
        network = Network(own=("9.9.9.1",))
        network.zone.mxs["peer.example"] = [
            (10, "down.peer.example"), (20, "us.peer.example"), (30, "mx.peer.example")
        ]  # fmt: skip
        network.zone.hosts |= {"down.peer.example": ["9.9.9.2"], "us.peer.example": ["9.9.9.1"]}
        [outcome] = self.deliver(network)
        assert outcome.status is Status.DEFERRED and outcome.reply.status == "4.4.1"
        assert set(network.world.dialled) == {"9.9.9.2"}
        network.zone.mxs["peer.example"][0] = (10, "mx.peer.example")
        [outcome] = self.deliver(network)
        assert outcome.status is Status.PASSED_ON

    def test_a_host_with_the_operators_word_may_have_our_name(self) -> None:
        """A content filter on this machine, say."""
        hop = NextHop("9.9.9.9", lookup="host")
        [outcome] = self.deliver(Network(Peer(domain="us.example")), hop=hop)
        assert outcome.status is Status.PASSED_ON


class TestRefusals(CourierCase):
    def test_a_refused_mail_is_everybodys_answer(self) -> None:
        """And nothing of the content is sent."""
        for extensions in ((), ("PIPELINING",)):
            peer = Peer(extensions=extensions, says={"MAIL": "550 5.7.1 not you", "RCPT": "503 no"})
            outcomes = self.deliver(Network(peer), "a@peer.example", "b@peer.example")
            assert [str(each.reply) for each in outcomes] == ["550 5.7.1 not you"] * 2
            assert peer.said[-1] == "RSET" and not peer.messages

    def test_all_refused_and_a_354_nonetheless_gets_an_empty_message(self) -> None:
        """RFC 2920 section 3.1: one dot, and nobody gets anything."""
        peer = Peer(says={"RCPT": "550 no", "DATA": "354 go on", "DOT": "554 nobody"})
        [outcome] = self.deliver(Network(peer))
        assert outcome.status is Status.FAILED and outcome.reply.text == "no"
        assert not peer.messages and peer.said[-1] == "RSET"

    def test_data_and_content_refused(self) -> None:
        """The host's words for DATA and for the content are the outcome; RSET goes after."""
        for key in ("DATA", "DOT"):
            peer = Peer(says={key: "451 4.7.1 grey"})
            [outcome] = self.deliver(Network(peer))
            assert outcome.status is Status.DEFERRED and outcome.reply.status == "4.7.1"
            assert peer.said[-1] == "RSET"

    def test_a_refused_or_lost_rset_ends_the_connection(self) -> None:
        """The verdicts stand; the next message goes over another one."""
        for said in ("500 what?", DROP):
            network = Network(Peer(says={"DOT": ["451 4.7.1 grey"], "RSET": said}))
            [outcome] = self.deliver(network)
            assert outcome.reply.status == "4.7.1"
            [outcome] = self.deliver(network)
            assert outcome.status is Status.PASSED_ON and len(network.peer.sessions) == 2

    def test_a_message_larger_than_its_limit_is_not_sent(self) -> None:
        """RFC 1870 section 6.1: the limit in the reply to EHLO is believed."""
        peer = Peer(extensions=("SIZE 10",))
        [outcome] = self.deliver(Network(peer))
        assert outcome.reply.code == 552 and outcome.reply.status == "5.3.4"
        assert not any(line.startswith("MAIL") for line in peer.said)

    def test_too_many_recipients_go_in_another_transaction(self) -> None:
        """RFC 5321 section 4.5.3.1.10: 452, and 552 too, mean the rest comes later."""
        peer = Peer(says={"RCPT <c@peer.example>": ["552 too many"], "RCPT": []})
        peer.says["RCPT <b@peer.example>"] = ["452 4.5.3 too many"]
        outcomes = self.deliver(Network(peer), *(f"{name}@peer.example" for name in "abc"))
        assert [each.status for each in outcomes] == [Status.PASSED_ON] * 3
        assert len(peer.messages) == 2 and len(peer.sessions) == 1

    def test_who_is_refused_alone_is_not_too_many(self) -> None:
        """552 to the only RCPT, or the first, is a full mailbox, in the host's own words."""
        [outcome] = self.deliver(Network(Peer(says={"RCPT": "552 storage exceeded"})))
        assert outcome.status is Status.FAILED and "storage exceeded" in outcome.reply.text
        [outcome] = self.deliver(Network(Peer(says={"RCPT": "452 later"})))
        assert outcome.status is Status.DEFERRED and outcome.reply.text == "later"

    def test_among_several_it_is_tried_alone_and_then_believed(self) -> None:
        """The first refused is final; one behind an accepted one may have been too many."""
        full = "552 storage exceeded"
        peer = Peer(says={"RCPT <a@peer.example>": full, "RCPT <c@peer.example>": full})
        a, b, c = self.deliver(Network(peer), "a@peer.example", "b@peer.example", "c@peer.example")
        assert (a.status, b.status, c.status) == (
            Status.FAILED,
            Status.PASSED_ON,
            Status.FAILED,
        )
        assert len(peer.sessions) == 1 and "storage exceeded" in c.reply.text

    def test_a_full_mailbox_is_not_too_many_recipients(self) -> None:
        """452 4.2.2 is this recipient's own."""
        peer = Peer(says={"RCPT <b@peer.example>": "452 4.2.2 full"})
        _, b = self.deliver(Network(peer), "a@peer.example", "b@peer.example")
        assert b.status is Status.DEFERRED and len(peer.messages) == 1

    def test_limits_of_the_peer_are_kept(self) -> None:
        """RFC 9422: RCPTMAX recipients in a transaction, MAILMAX transactions in a session."""
        peer = Peer(extensions=("PIPELINING", "LIMITS RCPTMAX=2 MAILMAX=2"))
        outcomes = self.deliver(Network(peer), *(f"r{n}@peer.example" for n in range(5)))
        assert all(each.status is Status.RELAYED for each in outcomes)
        assert [sum(line.startswith("RCPT") for line in s) for s in peer.sessions] == [4, 1]


class TestLosses(CourierCase):
    def test_lost_before_the_dot_is_tried_elsewhere(self) -> None:
        """Nothing was handed over, so the next exchange may have it in the same attempt."""
        for key in ("GREETING", "EHLO", "MAIL", "RCPT", "DATA"):
            for said in (DROP, "421 4.3.2 closing", "999 what"):
                network = Network(Peer(says={key: said}))
                other = _with_second_exchange(network)
                [outcome] = self.deliver(network)
                assert outcome.status is Status.PASSED_ON, (key, said)
                assert outcome.remote == "mx2.peer.example" and len(other.messages) == 1

    def test_lost_after_the_dot_is_deferred(self) -> None:
        """It may have it: not tried elsewhere in this attempt, and not forgotten."""
        for said in (DROP, "421 4.3.2 closing", "garbage"):
            network = Network(Peer(says={"DOT": said}))
            other = _with_second_exchange(network)
            [outcome] = self.deliver(network)
            assert outcome.status is Status.DEFERRED, said
            assert not other.messages and outcome.reply.temporary

    def test_silence_after_the_dot_is_deferred_after_ten_minutes(self) -> None:
        """RFC 5321 section 4.5.3.2.6."""
        network = Network(Peer(says={"DOT": HANG}))
        begun = network.begin(message(), recipients("r@peer.example"))
        network.pass_time(599)
        self.assertNoResult(begun)
        network.pass_time(2)
        [outcome] = self.successResultOf(begun)
        assert outcome.status is Status.DEFERRED and outcome.reply.status == "4.4.2"

    def test_silence_at_other_places(self) -> None:
        """Each wait ends, and the outcome is temporary."""
        for key in ("GREETING", "EHLO", "MAIL", "RCPT", "DATA"):
            network = Network(Peer(says={key: HANG}, extensions=()))
            begun = network.begin(message(), recipients("r@peer.example"))
            network.pass_time(301)
            [outcome] = self.successResultOf(begun)
            assert outcome.status is Status.DEFERRED, key
            assert network.peer.transports[0].aborted

    def test_recipients_refused_before_the_loss_stay_refused_or_are_asked_elsewhere(self) -> None:
        """A 421 amid RCPT ends the session for those after it too."""
        peer = Peer(says={"RCPT <b@peer.example>": "421 4.3.2 closing"})
        network = Network(peer)
        a, b = self.deliver(network, "a@peer.example", "b@peer.example")
        assert a.status is b.status is Status.DEFERRED
        assert a.reply.code == b.reply.code == 421 and not peer.messages

    def test_greetings_that_refuse(self) -> None:
        """4xx and 5xx both send us to the next exchange, and neither is about the message."""
        network = Network(Peer(says={"GREETING": "554 5.7.1 go away"}))
        [outcome] = self.deliver(network)
        assert outcome.status is Status.DEFERRED and outcome.remote == "mx.peer.example"
        assert "refused to talk to us: 554 5.7.1 go away" in outcome.reply.text
        network = Network(Peer(says={"GREETING": "554 5.7.1 go away"}))
        _with_second_exchange(network, Peer(says={"GREETING": "450 4.7.1 later"}))
        [outcome] = self.deliver(network)
        assert outcome.status is Status.DEFERRED and outcome.reply.code == 450

    def test_who_is_named_has_spoken(self) -> None:
        """`remote` is empty where no host said anything: a dead one is not a strict one."""
        for says, remote in (
            ({"GREETING": "421 4.3.2 busy"}, "mx.peer.example"),
            ({"GREETING": DROP}, ""),
            ({"EHLO": "421 4.3.2 closing"}, "mx.peer.example"),
            ({"EHLO": DROP}, ""),
            ({"MAIL": "451 4.7.1 later"}, "mx.peer.example"),
        ):
            [outcome] = self.deliver(Network(Peer(says=says)))
            assert (outcome.status, outcome.remote) == (Status.DEFERRED, remote), says
            # What it refuses before MAIL is the session.
            assert outcome.no_session == (remote != "" and "MAIL" not in says), says
        network = Network()
        network.world.peers["9.9.9.9", 25] = "refused"
        [outcome] = self.deliver(network)
        assert (outcome.status, outcome.remote) == (Status.DEFERRED, "")
        assert "cannot be reached" in str(outcome.reply)

    def test_at_most_so_many_addresses_in_one_attempt(self) -> None:
        """Five dead addresses are enough for one attempt."""
        network = Network()
        network.zone.hosts["mx.peer.example"] = [f"9.9.8.{n}" for n in range(9)]
        [outcome] = self.deliver(network)
        assert len(network.world.dialled) == 5
        assert outcome.status is Status.DEFERRED and outcome.reply.status == "4.4.1"
        assert "refused" in outcome.reply.text.lower()

    def test_what_failed_first_is_told(self) -> None:
        """Every exchange that failed, with its words, to those recipients whom it concerns."""
        says = {"RCPT <r@peer.example>": "451 4.7.1 not now"}
        network = Network(Peer(says=says))
        _with_second_exchange(network)
        network.zone.mxs["peer.example"] = [
            (5, "gone.peer.example"),
            (10, "mx.peer.example"),
            (20, "mx2.peer.example"),
        ]
        one, two = self.deliver(network, "r@peer.example", "c@peer.example")
        assert (one.status, two.status) == (Status.PASSED_ON, Status.PASSED_ON)
        assert one.facts["peer"] == "mx2.peer.example[9.9.9.10]"
        gone = "gone.peer.example: 550 5.1.2 No such domain: gone.peer.example"
        assert one.facts["tried"] == f"{gone}; mx.peer.example[9.9.9.9]: 451 4.7.1 not now"
        assert two.facts["tried"] == gone

    def test_what_failed_is_told_in_few_words(self) -> None:
        """The words of ten exchanges at most, each cut; of one alone, the reply says all."""
        network = Network(addresses=20)
        [outcome] = self.deliver(network)
        assert "tried" not in outcome.facts
        network = Network(addresses=20)
        hosts = [f"mx{n}.peer.example" for n in range(12)]
        network.zone.mxs["peer.example"] = [(n, host) for n, host in enumerate(hosts)]
        for n, host in enumerate(hosts):
            network.zone.hosts[host] = [f"9.9.8.{n}"]
            says = {"EHLO": f"450 4.7.1 {'later ' * 90}"}
            network.world.peers[f"9.9.8.{n}", 25] = Peer(says=says)
        [outcome] = self.deliver(network)
        tried = outcome.facts["tried"].split("; ")
        assert len(tried) == 11 and tried[-1] == "and 2 more"
        assert tried[0].startswith("mx0.peer.example[9.9.8.0]: 450 4.7.1 ")
        assert all(len(each) <= 250 for each in tried)
        network.zone.mxs["peer.example"] = [(1, hosts[0])]
        [outcome] = self.deliver(network)
        assert outcome.status is Status.DEFERRED and "tried" not in outcome.facts

    def test_dead_addresses_of_the_first_exchange_leave_some_for_the_second(self) -> None:
        """Each host has its share of the addresses that are dialled in one attempt."""
        network = Network()
        other = _with_second_exchange(network)
        network.zone.hosts["mx.peer.example"] = [f"9.9.8.{n}" for n in range(6)]
        [outcome] = self.deliver(network)
        assert outcome.status is Status.PASSED_ON and len(other.messages) == 1
        assert len(network.world.dialled) == 3

    def test_an_address_that_does_not_answer_is_left_after_thirty_seconds(self) -> None:
        """And then left alone for a while."""
        network = Network()
        network.world.peers["9.9.9.9", 25] = "silent"
        begun = network.begin(message(), recipients("r@peer.example"))
        connector = network.world.tcpClients[-1]
        assert connector[3] == 30.0
        connector[2].clientConnectionFailed(None, Failure(TookTooLong()))
        [outcome] = self.successResultOf(begun)
        assert outcome.status is Status.DEFERRED and outcome.reply.status == "4.4.1"
        [again] = self.deliver(network)
        assert again.reply == outcome.reply and len(network.world.dialled) == 1
        network.world.peers["9.9.9.9", 25] = network.peer
        network.pass_time(21)
        [at_last] = self.deliver(network)
        assert at_last.status is Status.PASSED_ON

    def test_cancelled_while_it_dials(self) -> None:
        """It fails as everything that is cancelled does."""
        network = Network()
        network.world.peers["9.9.9.9", 25] = "silent"
        begun = network.begin(message(), recipients("r@peer.example"))
        begun.cancel()
        self.failureResultOf(begun, CancelledError)
        assert not list(network.pool.state())

    def test_cancelled_while_the_server_thinks(self) -> None:
        """Who asked does not wait any more: the connection is dropped, no other is tried."""
        network = Network(Peer(extensions=(), says={"MAIL": HANG}))
        other = _with_second_exchange(network)
        begun = network.begin(message(), recipients("r@peer.example"))
        begun.cancel()
        network.world.run()
        self.failureResultOf(begun, CancelledError)
        assert network.peer.transports[0].aborted and not other.sessions
        assert not network.world.getDelayedCalls()


class TestNowhere(CourierCase):
    def test_no_such_domain(self) -> None:
        """For good, and for now where DNS does not answer."""
        network = Network()
        network.zone.mxs["peer.example"] = Unresolvable("NXDOMAIN", temporary=False)
        [outcome] = self.deliver(network)
        assert outcome.status is Status.FAILED and outcome.reply.status == "5.1.2"
        network.zone.mxs["peer.example"] = Unresolvable("SERVFAIL", temporary=True)
        [outcome] = self.deliver(network)
        assert outcome.status is Status.DEFERRED and outcome.reply.status == "4.4.3"

    def test_a_named_host_that_is_not_there_is_the_operators_mistake(self) -> None:
        """The sender's mail waits until it is mended."""
        [outcome] = self.deliver(Network(), hop=NextHop("gone.example", lookup="host"))
        assert outcome.status is Status.DEFERRED

    def test_one_exchange_without_an_address_does_not_hide_the_other(self) -> None:
        """The next one in line is tried."""
        network = Network()
        network.zone.mxs["peer.example"] = [(5, "gone.peer.example"), (10, "mx.peer.example")]
        [outcome] = self.deliver(network)
        assert outcome.status is Status.PASSED_ON


def _with_second_exchange(network: Network, peer: Peer | None = None) -> Peer:
    other = peer or Peer(domain="mx2.peer.example")
    network.zone.mxs["peer.example"] = [(10, "mx.peer.example"), (20, "mx2.peer.example")]
    network.zone.hosts["mx2.peer.example"] = ["9.9.9.10"]
    network.world.peers["9.9.9.10", 25] = other
    return other
