"""A connection made ready for mail: AUTH, and what is demanded of TLS, without TLS at hand."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from scripted_peer import DROP, Network, Peer, message, recipients
from twisted.trial.unittest import SynchronousTestCase

from mailframe.message import NextHop, Status, TlsUse


def smarthost(tls: TlsUse = "never", private: bool = False) -> NextHop:
    """The peer as the operator names it, with a login."""
    return NextHop("mx.peer.example", "host", tls=tls, user="me", password="pw", private=private)


class TestOpening(SynchronousTestCase):
    def send(self, peer: Peer, hop: NextHop, **options: Any) -> Any:
        network = Network(peer, **options)
        [outcome] = self.successResultOf(
            network.begin(message(), recipients("r@peer.example"), hop)
        )
        return outcome

    def test_a_reply_too_many(self) -> None:
        """What answers nothing, before there is a message, fails none."""
        for more, code in (("550 5.7.1 no", 451), ("250 fine", 451), ("421 4.3.2 later", 421)):
            peer = Peer(says={"EHLO": f"250 mx.peer.example\n{more}"})
            begun = Network(peer).begin(message(), recipients("r@peer.example"))
            [outcome] = self.successResultOf(begun)
            assert outcome.status is Status.DEFERRED and outcome.reply.code == code, outcome

    def test_plain_is_said_in_one_line(self) -> None:
        """RFC 4616."""
        peer = Peer(extensions=("AUTH LOGIN PLAIN",))
        assert self.send(peer, smarthost()).status is Status.RELAYED
        assert peer.said[1] == "AUTH PLAIN " + b64encode(b"\0me\0pw").decode()

    def test_login_where_plain_is_not_offered(self) -> None:
        """Two questions, two answers."""
        peer = Peer(extensions=("AUTH LOGIN",), says={"AUTH": "334 VXNlcm5hbWU6"})
        peer.says[b64encode(b"me").decode()] = "334 UGFzc3dvcmQ6"
        peer.says[b64encode(b"pw").decode()] = "235 2.7.0 in"
        assert self.send(peer, smarthost()).status is Status.RELAYED
        assert peer.said[1:4] == ["AUTH LOGIN", "bWU=", "cHc="]

    def test_a_refused_login_is_tried_again_later(self) -> None:
        """The operator's password is not the sender's fault, whatever the host's code."""
        for extensions in (("AUTH LOGIN",), ("AUTH PLAIN",)):
            peer = Peer(extensions=extensions, says={"AUTH": "535 5.7.8 no"})
            outcome = self.send(peer, smarthost())
            assert outcome.status is Status.DEFERRED and str(outcome.reply) == "454 4.7.8 no"
        peer = Peer(extensions=("AUTH PLAIN",), says={"AUTH": "454 4.7.0 later"})
        assert str(self.send(peer, smarthost()).reply) == "454 4.7.0 later"
        peer = Peer(extensions=("AUTH PLAIN",), says={"AUTH": "250 2.0.0 hm"})
        assert self.send(peer, smarthost()).status is Status.DEFERRED

    def test_no_mechanism_of_ours(self) -> None:
        """Nothing is sent unauthenticated to who should know us."""
        peer = Peer(extensions=("AUTH GSSAPI",))
        outcome = self.send(peer, smarthost())
        assert outcome.status is Status.DEFERRED and "neither" in outcome.reply.text
        assert not peer.messages

    def test_the_password_does_not_go_in_the_clear(self) -> None:
        """Unless the route says that there is no TLS, or that the wire is ours."""
        peer = Peer(extensions=("AUTH PLAIN",))
        outcome = self.send(peer, smarthost("opportunistic"))
        assert outcome.status is Status.DEFERRED and not peer.messages
        assert not any(line.startswith("AUTH") for line in peer.said)
        outcome = self.send(peer, smarthost("opportunistic", private=True))
        assert outcome.status is Status.RELAYED

    def test_demanded_tls_that_is_not_there(self) -> None:
        """ "require" and "verify" do not fall back; a refused STARTTLS is no offer."""
        for tls in ("require", "verify"):
            for says in ({}, {"STARTTLS": "454 4.7.0 not now"}, {"STARTTLS": "502 5.5.1 no"}):
                peer = Peer(extensions=("STARTTLS",) if says else (), says=says)
                outcome = self.send(peer, NextHop("peer.example", tls=tls))
                assert outcome.status is Status.DEFERRED and not peer.messages
                assert outcome.reply.temporary

    def test_a_refused_starttls_is_no_obstacle_where_none_is_demanded(self) -> None:
        """The mail goes in the clear, on the same connection."""
        peer = Peer(extensions=("STARTTLS",), says={"STARTTLS": "454 4.7.0 not now"})
        assert self.send(peer, NextHop("peer.example")).status is Status.RELAYED
        assert len(peer.sessions) == 1
        assert self.send(Peer(extensions=("STARTTLS",)), NextHop("peer.example", tls="never"))

    def test_hello_refused(self) -> None:
        """EHLO and HELO: the host's words are the outcome; LHLO has nothing to fall back on."""
        peer = Peer(says={"EHLO": "550 5.7.1 no", "HELO": "550 5.7.1 no, really"})
        outcome = self.send(peer, NextHop("peer.example"))
        assert outcome.status is Status.DEFERRED
        assert outcome.reply.text.endswith("refused to talk to us: 550 5.7.1 no, really")
        assert peer.said[-1] == "QUIT"
        peer = Peer(says={"EHLO": "450 4.7.1 later"})
        assert self.send(peer, NextHop("peer.example")).status is Status.DEFERRED
        peer = Peer(says={"LHLO": "500 what"}, lmtp=True)
        assert self.send(peer, NextHop("peer.example"), lmtp=True).status is Status.DEFERRED
        assert "HELO us.example" not in peer.said

    def test_lost_between_the_questions(self) -> None:
        """Each loss has its words."""
        for key in ("EHLO", "AUTH"):
            peer = Peer(extensions=("AUTH PLAIN",), says={key: DROP})
            outcome = self.send(peer, smarthost())
            assert outcome.reply.status == "4.4.2" and "lost" in outcome.reply.text

    def test_we_dial_from_the_address_that_is_ours_to_use(self) -> None:
        """By family."""
        network = Network(bind=("192.0.2.1", "2001:db8::1"))
        network.zone.hosts["mx.peer.example"] = ["9.9.9.9", "2620:fe::fe"]
        network.world.peers.clear()
        self.successResultOf(network.begin(message(), recipients("r@peer.example")))
        dialled = {call[0]: call[4] for call in network.world.tcpClients}
        assert dialled == {"9.9.9.9": ("192.0.2.1", 0), "2620:fe::fe": ("2001:db8::1", 0)}
