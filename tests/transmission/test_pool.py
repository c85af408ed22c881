"""Connections used again, and never too many."""

from __future__ import annotations

from typing import Any

from scripted_peer import DROP, Network, Peer, message, recipients
from twisted.internet.error import ConnectionRefusedError
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from mailframe.message import NextHop, Status
from mailframe.transmission.agent import Agent


class TestPool(SynchronousTestCase):
    def send(self, network: Network, hop: NextHop | None = None) -> Any:
        [outcome] = self.successResultOf(
            network.begin(message(), recipients("r@peer.example"), hop)
        )
        return outcome

    def test_a_connection_serves_many_messages(self) -> None:
        """Without a second EHLO, and without asking DNS again."""
        network = Network()
        self.send(network)
        network.zone.mxs.clear()
        network.zone.hosts.clear()
        assert self.send(network).status is Status.PASSED_ON
        assert len(network.peer.sessions) == 1 and len(network.peer.messages) == 2

    def test_next_hops_with_one_exchange_share_it(self) -> None:
        """Two domains at one host: one connection."""
        network = Network()
        network.zone.mxs["other.example"] = [(1, "mx.peer.example")]
        self.send(network)
        self.send(network, NextHop("other.example"))
        assert len(network.peer.sessions) == 1

    def test_a_login_or_a_demand_for_tls_is_not_shared(self) -> None:
        """What one route knows is not lent to another."""
        network = Network()
        self.send(network)
        self.send(network, NextHop("peer.example", tls="never"))
        assert len(network.peer.sessions) == 2

    def test_it_rests_for_some_seconds(self) -> None:
        """Then QUIT, politely, and nothing is left behind."""
        network = Network(idle=10.0)
        self.send(network)
        network.pass_time(9)
        assert network.peer.said[-1] != "QUIT"
        network.pass_time(2)
        assert network.peer.said[-1] == "QUIT" and not network.world.getDelayedCalls()
        self.send(network)
        assert len(network.peer.sessions) == 2

    def test_it_is_replaced_after_so_many_messages(self) -> None:
        """`messages` transactions at most."""
        network = Network(messages=2)
        for _ in range(5):
            self.send(network)
        assert len(network.peer.sessions) == 3

    def test_one_that_died_resting_is_no_failure(self) -> None:
        """The server closed it in the meantime, told or untold, or says so at the next MAIL."""
        for way in ("closed", "421", "MAIL", "RCPT", "DATA"):
            network = Network()
            self.send(network)
            [wire] = network.peer.transports
            if way == "closed":
                wire.hang_up()
            elif way == "421":
                wire.arrive(b"421 4.4.2 idle too long\r\n")
            else:
                network.peer.says[way] = [DROP]
            network.world.run()
            assert self.send(network).status is Status.PASSED_ON, way
            assert len(network.peer.sessions) == 2

    def test_one_that_dies_taking_the_message_is_deferred(self) -> None:
        """Used before or not: after the dot it may have the message."""
        network = Network()
        self.send(network)
        network.peer.says["DOT"] = [DROP]
        assert self.send(network).status is Status.DEFERRED
        assert len(network.peer.sessions) == 1

    def test_a_fresh_one_that_dies_too_is_a_failure(self) -> None:
        """Or it would go on for ever."""
        network = Network()
        self.send(network)
        network.peer.says["MAIL"] = DROP
        assert self.send(network).status is Status.DEFERRED
        assert len(network.peer.sessions) == 2

    def test_only_so_many_at_once(self) -> None:
        """The others wait, and have the connection when it is free."""
        network = Network(connections=2)
        network.peer.says["GREETING"] = ["hang", "hang"]
        begun = [network.begin(message(), recipients("r@peer.example")) for _ in range(5)]
        assert len(network.peer.sessions) == 2
        for wire in network.peer.transports:
            wire.arrive(b"220 mx.peer.example\r\n")
        network.world.run()
        assert all(self.successResultOf(each)[0].status is Status.PASSED_ON for each in begun)
        assert len(network.peer.sessions) == 2 and len(network.peer.messages) == 5

    def test_whoever_waits_may_stop_waiting(self) -> None:
        """Its turn goes to the next one."""
        network = Network(connections=1)
        network.peer.says["GREETING"] = ["hang"]
        begun = [network.begin(message(), recipients("r@peer.example")) for _ in range(3)]
        begun[1].addErrback(lambda _: "given up")
        begun[1].cancel()
        network.peer.transports[0].arrive(b"220 mx.peer.example\r\n")
        network.world.run()
        assert self.successResultOf(begun[1]) == "given up"
        assert self.successResultOf(begun[2])[0].status is Status.PASSED_ON

    def test_a_turn_is_passed_on_where_dialling_fails(self) -> None:
        """Nobody waits for a connection that never comes; nothing is kept of the place."""
        network = Network(connections=1, back_off=0.0)
        network.world.peers["9.9.9.9", 25] = "silent"
        begun = [network.begin(message(), recipients("r@peer.example")) for _ in range(3)]
        for _ in range(3):
            _refuse(network)
        assert all(self.successResultOf(each)[0].status is Status.DEFERRED for each in begun)
        assert not network.pool._places

    def test_many_that_wait_for_a_dead_host_all_get_their_answer(self) -> None:
        """One failure answers them all, and not one from within the other."""
        network = Network(connections=1)
        network.world.peers["9.9.9.9", 25] = "silent"
        begun = [network.begin(message(), recipients("r@peer.example")) for _ in range(500)]
        begun[250].addErrback(lambda _: "given up")
        begun[250].cancel()
        _refuse(network)
        assert self.successResultOf(begun.pop(250)) == "given up"
        assert all(self.successResultOf(each)[0].status is Status.DEFERRED for each in begun)
        assert len(network.world.dialled) == 1 and not network.pool._places

    def test_pauses_can_be_forgotten(self) -> None:
        """What could not be reached is dialled again at once if somebody asks for it."""
        network = Network()
        network.world.peers["9.9.9.9", 25] = "silent"
        begun = network.begin(message(), recipients("r@peer.example"))
        _refuse(network)
        assert self.successResultOf(begun)[0].status is Status.DEFERRED
        network.world.peers["9.9.9.9", 25] = network.peer
        assert self.send(network).status is Status.DEFERRED
        Agent(network.courier, network.pool, network.world, lambda route: None).forget_pauses()
        assert self.send(network).status is Status.PASSED_ON

    def test_a_turn_that_nobody_wants_any_more_goes_to_the_next(self) -> None:
        """Who gives up amid the giving of turns holds up nobody."""
        network = Network(connections=1)
        network.world.peers["9.9.9.9", 25] = "silent"
        first, second, third = (
            network.begin(message(), recipients("r@peer.example")) for _ in range(3)
        )
        first.addCallback(lambda _: second.cancel())
        second.addErrback(lambda _: "given up")
        _refuse(network)
        assert self.successResultOf(second) is not None
        assert self.successResultOf(third)[0].status is Status.DEFERRED
        assert not network.pool._places

    def test_closing_lets_go_of_all(self) -> None:
        """Resting ones at once, working ones when they are done."""
        network = Network()
        self.send(network)
        network.peer.says["DOT"] = ["hang"]
        begun = network.begin(message(), recipients("r@peer.example"))
        closed = network.pool.close()
        network.world.run()
        self.assertNoResult(closed)
        network.peer.transports[0].arrive(b"250 2.0.0 taken\r\n")
        network.world.run()
        assert self.successResultOf(begun)[0].status is Status.PASSED_ON
        self.successResultOf(closed)
        assert not network.world.getDelayedCalls()

    def test_abort_ends_what_works(self) -> None:
        """When the grace is over."""
        network = Network(Peer(says={"DOT": ["hang"]}))
        begun = network.begin(message(), recipients("r@peer.example"))
        closed = network.pool.close()
        network.pool.abort()
        network.world.run()
        assert self.successResultOf(begun)[0].status is Status.DEFERRED
        self.successResultOf(closed)

    def test_a_server_that_does_not_let_go_is_dropped(self) -> None:
        """QUIT is not waited for longer than a few seconds."""
        network = Network()
        self.send(network)
        [wire] = network.peer.transports
        wire.loseConnection = lambda: None  # type: ignore[method-assign]
        closed = network.pool.close()
        network.world.run()
        self.assertNoResult(closed)
        network.pass_time(6)
        self.successResultOf(closed)
        assert wire.aborted


def _refuse(network: Network) -> None:
    """The last address dialled refuses the connection."""
    network.world.tcpClients[-1][2].clientConnectionFailed(None, Failure(ConnectionRefusedError()))
    network.world.run()
