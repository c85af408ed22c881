"""The sessions of one listener, whatever it speaks."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock

from mailframe.settings import Limits, Listener
from mailframe.wire.listener import ListenerFactory, NotAdmitted
from mailframe.wire.peer import Peer


class Factory(ListenerFactory):
    """Whose sessions the test makes itself."""

    def client_protocol(self, peer: Peer | None) -> Protocol:
        return Protocol()


class Session:
    """Remembers what it is told; ends when it is asked to, unless it is busy."""

    def __init__(self, factory: ListenerFactory, busy: bool = False) -> None:
        self.factory = factory
        self.busy = busy
        self.told: list[object] = []
        factory.enter(self)

    def look_at_clock(self, now: float) -> None:
        self.told.append(now)

    def stop(self) -> None:
        self.told.append("stop")
        if not self.busy:
            self.factory.leave(self)

    def drop(self) -> None:
        self.told.append("drop")
        self.factory.leave(self)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def factory_of(clock: Clock, **limits: int) -> ListenerFactory:
    listener = Listener(name="pop", endpoint="tcp:110", protocol="smtp")
    return Factory(listener, Limits(**limits), None, clock)  # type: ignore[arg-type]


def fired(deferred: Deferred[None]) -> bool:
    return bool(deferred.called)


def test_clients_are_counted_once_they_are_let_in(clock: Clock) -> None:
    """In all and each; whoever leaves makes room."""
    factory = factory_of(clock, connections=3, connections_per_client=2)
    sessions = [Session(factory) for _ in range(5)]
    assert factory.sessions == 0
    assert factory.admit(sessions[0], "192.0.2.1") is None
    assert factory.admit(sessions[1], "192.0.2.1") is None
    assert factory.admit(sessions[2], "192.0.2.1") is NotAdmitted.TOO_MANY
    assert factory.admit(sessions[3], "192.0.2.2") is None
    assert factory.admit(sessions[4], "192.0.2.3") is NotAdmitted.TOO_MANY
    assert factory.sessions == 3
    for session in (sessions[4], sessions[0]):
        factory.leave(session)
    assert factory.sessions == 2
    assert factory.admit(sessions[2], "192.0.2.1") is None


def test_a_session_may_turn_out_to_be_another_client_s(clock: Clock) -> None:
    """It counts as one of that client, and no longer as one of the first."""
    factory = factory_of(clock, connections_per_client=1)
    first, second = Session(factory), Session(factory)
    assert factory.admit(first, "192.0.2.1") is None
    assert factory.admit(first, "192.0.2.2") is None
    assert factory.admit(second, "192.0.2.1") is None
    assert factory.admit(second, "192.0.2.2") is NotAdmitted.TOO_MANY
    assert factory.sessions == 1
    factory.leave(second)
    factory.leave(first)
    assert factory.sessions == 0


def test_one_timer_looks_at_all_sessions(clock: Clock) -> None:
    """Admitted or not, each second; none is left once the last is gone and the port closed."""
    factory = factory_of(clock)
    sessions = [Session(factory), Session(factory)]
    clock.pump([1.0, 1.0])
    assert [session.told for session in sessions] == [[1.0, 2.0], [1.0, 2.0]]
    assert len(clock.getDelayedCalls()) == 1
    factory.stopFactory()
    for session in sessions:
        factory.leave(session)
    assert clock.getDelayedCalls() == []


def test_a_graceful_stop_waits_for_the_last(clock: Clock) -> None:
    """All are asked to go, nobody is let in, and whoever does not go can be dropped."""
    factory = factory_of(clock)
    idle, busy = Session(factory), Session(factory, busy=True)
    stopped = factory.stop_gracefully()
    assert idle.told == busy.told == ["stop"]
    late = Session(factory)
    assert factory.admit(late, "192.0.2.1") is NotAdmitted.STOPPING
    factory.leave(late)
    assert not fired(stopped)
    factory.drop()
    assert busy.told == ["stop", "drop"]
    assert fired(stopped)
    assert clock.getDelayedCalls() == []


def test_emptied_lets_them_take_their_time(clock: Clock) -> None:
    """Nobody is told anything; it fires when none is left, at once if none is."""
    factory = factory_of(clock)
    assert fired(factory.emptied())
    session = Session(factory)
    emptied = factory.emptied()
    assert not fired(emptied) and session.told == []
    factory.leave(session)
    assert fired(emptied)


def test_implicit_tls_needs_certificates(clock: Clock) -> None:
    """The operator reads which listener."""
    listener = Listener(name="pops", endpoint="tcp:995", tls="implicit")
    with pytest.raises(ValueError, match="listener 'pops'"):
        Factory(listener, Limits(), None, clock)
