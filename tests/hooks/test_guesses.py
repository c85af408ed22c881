"""Failed logins, counted across sessions: who has guessed too often has to wait."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.task import Clock

from mailframe.eventual import at_once
from mailframe.hooks import Channel, Hooks
from mailframe.hooks.guesses import KNOWN_FOR, MOST_KEPT, Guesses
from mailframe.sasl import Identity, KeysFound, KeysWanted, Reason, Refusal, StoredKeys, Success
from mailframe.setting import Duration
from mailframe.settings import LoginSettings
from mailframe.smtp.reply import AUTH_FAILED, AUTH_LATER
from mailframe.testing.hooks import Remembered, compose_hooks
from mailframe.testing.values import client

SETTINGS = LoginSettings(4, 3, Duration(400.0), ("198.51.100.0/24",))
HERE, THERE = "192.0.2.1", "203.0.113.9"
KEYS = StoredKeys.derive("secret", b"0123456789abcdef", 4096)


class Door:
    """Guesses, and a clock."""

    def __init__(self, settings: LoginSettings = SETTINGS) -> None:
        self.clock = Clock()
        self.guesses = Guesses(settings, self.clock.seconds)

    def fail(self, times: int, address: str = HERE, user: str = "alice") -> None:
        """So many failures, each of which was let in."""
        for _ in range(times):
            assert not self.guesses.must_wait(address, user)
            self.guesses.failed(address, user)


def test_a_client_waits_whoever_it_says_it_is() -> None:
    """Another name, or another address of the same /64, is the same client."""
    door = Door()
    for name in "abcd":
        door.fail(1, HERE, name)
    assert door.guesses.must_wait(HERE, "e")
    assert door.guesses.must_wait(HERE, "")
    assert not door.guesses.must_wait("192.0.2.2", "e")
    for name in "ABCD":
        door.fail(1, f"2001:db8::{name}", f"{name}x")
    assert door.guesses.must_wait("2001:db8::9", "e")
    assert not door.guesses.must_wait("2001:db8:0:1::9", "e")


def test_a_user_waits_wherever_it_comes_from() -> None:
    """Many clients with a guess each are many guesses; case and width are no other name."""
    door = Door()
    for last in "123":
        door.fail(1, f"203.0.113.{last}")
    for name in ("alice", "ALICE", "\uff41lice"):
        assert door.guesses.must_wait(HERE, name)
    assert not door.guesses.must_wait(HERE, "bob")


def test_failures_are_forgiven_one_after_the_other() -> None:
    """After a hundredth of the way in, one more; after all of it, all."""
    door = Door()
    for name in "abcd":
        door.fail(1, HERE, name)
    door.clock.advance(99)
    assert door.guesses.must_wait(HERE, "e")
    door.clock.advance(2)
    door.fail(1, HERE, "e")
    assert door.guesses.must_wait(HERE, "f")
    door.clock.advance(400)
    for name in "abcd":
        door.fail(1, HERE, name)


def test_strangers_do_not_lock_a_user_out() -> None:
    """Where it has logged in before, only its own failures count, for a week."""
    door = Door()
    door.guesses.succeeded(HERE, "alice")
    door.fail(3, THERE)
    assert door.guesses.must_wait(THERE, "alice")
    assert door.guesses.must_wait("192.0.2.2", "alice")
    assert not door.guesses.must_wait(HERE, "alice")
    door.clock.advance(KNOWN_FOR)
    door.fail(3, THERE)
    assert door.guesses.must_wait(HERE, "alice")


def test_neighbours_do_not_lock_a_user_out() -> None:
    """A client that is full lets those in who are known there, and nobody else."""
    door = Door()
    door.guesses.succeeded(HERE, "alice")
    for name in "abcd":
        door.fail(1, HERE, name)
    assert not door.guesses.must_wait(HERE, "alice")
    assert door.guesses.must_wait(HERE, "bob")
    door.fail(3, HERE, "alice")  # but nobody guesses there without end
    assert door.guesses.must_wait(HERE, "alice")


def test_a_login_forgets_what_its_user_did_wrong() -> None:
    """Its own slips; what the client did as others stays."""
    door = Door()
    door.fail(2)
    door.fail(1, HERE, "bob")
    door.guesses.succeeded(HERE, "alice")
    door.fail(2)
    door.guesses.succeeded(HERE, "alice")
    door.fail(3, HERE, "carol")
    assert door.guesses.must_wait(HERE, "dave")


def test_an_own_account_opens_no_other() -> None:
    """Whoever logs in between two guesses has no more of them."""
    door = Door()
    for name in "abcd":
        door.fail(1, HERE, name)
        door.guesses.succeeded(HERE, "mallory")
    assert door.guesses.must_wait(HERE, "alice")


@pytest.mark.parametrize("address", ["198.51.100.7", "unix", "unknown"])
def test_a_client_of_many_users_is_not_counted(address: str) -> None:
    """A webmail's users are, each by itself."""
    door = Door()
    for name in "abcdefgh":
        door.fail(3, address, name)
        assert door.guesses.must_wait(address, name)
    assert not door.guesses.must_wait(address, "alice")


def test_the_table_is_bounded() -> None:
    """The oldest go first; what is forgiven goes too."""
    door = Door()
    for number in range(MOST_KEPT + 100):
        door.guesses.failed(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", str(number))
        door.guesses.succeeded(THERE, f"user{number}")
    (row,) = door.guesses.state()
    assert row["clients"] == row["users"] == MOST_KEPT
    assert len(door.guesses._known) == MOST_KEPT


def test_the_gauge_and_the_log() -> None:
    """How many have to wait; a line a minute at most."""
    from twisted.logger import globalLogPublisher

    door, lines = Door(), []
    for name in "abcd":
        door.fail(1, HERE, name)
    door.fail(3, THERE)
    globalLogPublisher.addObserver(lines.append)
    try:
        for _ in range(5):
            assert door.guesses.must_wait(HERE, "x")
    finally:
        globalLogPublisher.removeObserver(lines.append)
    assert [line["client"] for line in lines] == [HERE]
    (row,) = door.guesses.state()
    assert row == {"clients": 2, "clients_waiting": 1, "users": 5, "users_waiting": 1}


class Alice:
    """Knows alice by her password, and by what is kept of it."""

    def __init__(self) -> None:
        self.asked = 0

    def requestAvatarId(self, credentials: Any) -> bytes:
        self.asked += 1
        if credentials.username.strip() != b"alice" or credentials.password != b"secret":
            raise UnauthorizedLogin()
        return b"alice"

    def keeps_keys(self) -> bool:
        return True

    def stored_keys(self, wanted: KeysWanted) -> KeysFound | None:
        self.asked += 1
        return KeysFound(Identity("alice"), KEYS) if wanted.name.strip() == "alice" else None


def answer(hooks: Hooks, octets: bytes, listener: str = "mx", mechanism: str = "PLAIN") -> Any:
    """What one try in a session of its own is answered, and after how many seconds."""
    clock: Any = hooks.reactor
    login = hooks.logins.begin(mechanism, client(listener=listener), Channel(private=True))
    assert login is not None
    answers: list[Any] = []
    later = at_once(login.step(octets))
    if not hasattr(later, "addCallback"):
        return later, 0
    later.addCallback(answers.append)
    seconds = 0
    while not answers:
        clock.advance(1)
        seconds += 1
    return answers[0], seconds


def test_one_table_for_all_protocols() -> None:
    """The answers grow slower, then nobody is asked: whatever the listener and the way."""
    plugin, told = Alice(), Remembered()
    hooks = compose_hooks(auth=[plugin], observers=[told])
    hooks = replace(hooks, guessing=LoginSettings(6, 6, Duration(36_000.0)))
    wrong = [answer(hooks, b"\0alice\0guess", listener) for listener in ("mx", "pop", "mx", "imap")]
    assert [seconds for _, seconds in wrong] == [1, 1, 1, 2]
    for _ in range(2):
        clock: Any = hooks.reactor
        said: list[Any] = []
        where = client(listener="pop"), Channel(private=True)
        at_once(hooks.logins.by_password("alice", "guess", *where)).addCallback(said.append)
        clock.pump([1] * 8)
        assert said == [AUTH_FAILED]
    assert plugin.asked == 6
    step, seconds = answer(hooks, b"\0alice\0secret")
    assert (step.reason, seconds) == (Reason.LATER, 8)
    assert plugin.asked == 6
    at_once(hooks.logins.by_password("alice", "secret", *where)).addCallback(said.append)
    clock.pump([1] * 8)
    assert said[-1] == AUTH_LATER
    assert told.verdicts("auth") == [str(AUTH_FAILED)] * 6 + [str(AUTH_LATER)] * 2
    clock.advance(6001)
    assert answer(hooks, b"\0alice\0secret") == (Success("alice"), 0)
    assert answer(hooks, b"\0alice\0guess")[1] == 1


ODD_NAMES = [
    "alice\r",
    "alice\n",
    "\talice",
    "al\x7fice",
    " alice",
    "alice ",
    "\xa0alice",
]
ODD_NAMES += ["alice\u2003", "alice\u200e", "\ufffealice", "alice\ue000", " "]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_name_is_what_saslprep_allows(name: str) -> None:
    """RFC 4013 section 2.3: a checker that strips names is not even asked."""
    plugin = Alice()
    hooks = compose_hooks(auth=[plugin])
    octets = name.encode("utf-8", "surrogatepass")
    step, _ = answer(hooks, b"\0" + octets + b"\0secret")
    assert isinstance(step, Refusal)
    login = hooks.logins.begin("LOGIN", client(listener="mx"), Channel(private=True))
    assert login is not None
    at_once(login.step(octets))
    said = at_once(login.step(b"secret"))
    assert not isinstance(said, Success)
    step, _ = answer(hooks, b"n,,n=" + octets + b",r=abcdef", mechanism="SCRAM-SHA-256")
    assert not isinstance(step, Success)
    assert plugin.asked == 0
