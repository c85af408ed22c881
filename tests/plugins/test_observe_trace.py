"""`[[observe]] plugin = "trace"`: each message's decisions, in a real SQLite file."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface.verify import verifyObject

from mailframe.interfaces import ITrace
from mailframe.message import Event
from mailframe.plugin import Duration, SettingError, Size
from mailframe.testing.hooks import result_of
from mailframe.testing.plugins import ObserverContract
from mailframe.testing.values import site
from mailframe_plugins.observe_trace import FORGET_EVERY, Settings, Trace


def trace(folder: Path, clock: Clock | None = None, **settings: Any) -> Trace:
    return Trace(Settings(**settings), site(folder, reactor=clock or Clock()))


def found(of: Trace, what: str, limit: int = 1000) -> Sequence[Event]:
    return result_of(of.events(what, limit))


class TestContract(ObserverContract, SynchronousTestCase):
    def make(self) -> Trace:
        return trace(Path(self.mktemp()))

    def test_it_is_a_trace(self) -> None:
        """`mailframe trace` can ask it."""
        verifyObject(ITrace, self.make())

    def test_what_it_takes_it_gives_back(self) -> None:
        """Event for event, with all their fields."""
        folder = Path(self.mktemp())
        folder.mkdir()
        to = trace(folder)
        for event in self.events():
            to.observe(event)
        # The same message, and nothing of other sessions.
        assert list(found(to, "M1")) == [e for e in self.events() if e.id == "M1"]


def of_message(id: str, sender: str, recipient: str, at: float = 1.0) -> list[Event]:
    facts = {"sender": sender, "recipient": recipient}
    return [
        Event(at, "relay", "250", "inbound", id, "S" + id, 0.1, facts),
        Event(at + 0.5, "deliver", "delivered", "maildir", id, "", 2.0, facts),
    ]


def test_a_message_is_found_by_its_id_and_its_addresses(tmp_path: Path) -> None:
    """Sender or recipient, in any case, with angle brackets or without; oldest first."""
    to = trace(tmp_path)
    one = of_message("M1", "a@x.example", "Bob@example.org")
    two = of_message("M2", "<a@x.example>", "eve@example.org", 2.0)
    for event in (one[0], two[0], one[1], two[1]):
        to.observe(event)
    assert list(found(to, "M1")) == one
    assert list(found(to, "bob@EXAMPLE.org")) == one
    assert list(found(to, "eve@example.org")) == two
    # M2 was last heard of: message by message, and the latest at the end.
    assert list(found(to, "<a@x.example>")) == [*one, *two]
    assert list(found(to, "a@x.example", 2)) == two
    assert list(found(to, "nobody@x.example")) == []
    assert list(found(to, "M3")) == list(found(to, "")) == []


def test_a_session_is_found_with_its_messages(tmp_path: Path) -> None:
    """All that was told of it, and what became of its messages; nothing of another session."""
    to = trace(tmp_path)
    begin = Event(0.5, "session", "connected", session="SM1")
    end = Event(1.2, "session", "disconnected", session="SM1")
    one = of_message("M1", "a@x.example", "bob@example.org")
    for event in (begin, one[0], end, *of_message("M2", "a@x.example", "eve@x.example"), one[1]):
        to.observe(event)
    assert list(found(to, "SM1")) == [begin, one[0], end, one[1]]
    assert list(found(to, "SM1", 2)) == [end, one[1]]
    assert list(found(to, "M1")) == [begin, one[0], end, one[1]]
    assert list(found(to, "M1", 1)) == [one[1]]


def test_refused_commands_are_found_by_their_address(tmp_path: Path) -> None:
    """A sender that was refused before there was a message; each event once."""
    to = trace(tmp_path)
    begin = Event(0.5, "session", "connected", session="SM1")
    facts = {"command": "mail", "sender": "a@x.example"}
    refused = Event(0.7, "session", "530 5.7.0 Log in", session="SM1", facts=facts)
    one = of_message("M1", "a@x.example", "bob@example.org")
    later = of_message("M2", "a@x.example", "bob@example.org", 5.0)
    later[0] = replace(later[0], session="SM1")
    for event in (begin, refused, *one, *later):
        to.observe(event)
    assert list(found(to, "a@x.example")) == [*one, begin, refused, *later]
    assert list(found(to, "A@X.example", 3)) == [refused, *later]


def test_all_recipients_are_found(tmp_path: Path) -> None:
    """Of an event that names several."""
    to = trace(tmp_path)
    facts = {"sender": "<>", "recipients": ["bob@example.org", "Eve@example.org"]}
    event = Event(1.0, "queue", "accepted", id="M1", facts=facts)
    to.observe(event)
    for address in ("bob@example.org", "eve@example.org"):
        assert list(found(to, address)) == [event]


def test_what_was_decided_about_the_session_belongs_to_it(tmp_path: Path) -> None:
    """Connect, hello and AUTH before the message; not what other sessions did, nor later."""
    to = trace(tmp_path)
    before = Event(0.5, "auth", "authenticated", "passwords", "", "SM1", 50.0, {"user": "bob"})
    message = of_message("M1", "a@x.example", "b@x.example")
    other = Event(0.6, "auth", "535", "passwords", "", "SM2")
    after = Event(9.0, "session", "disconnected", "", "", "SM1")
    for event in (before, other, *message, after):
        to.observe(event)
    assert list(found(to, "M1")) == [before, *message]


def test_redirections_are_found_by_their_new_addresses(tmp_path: Path) -> None:
    """`to` names where an alias leads."""
    to = trace(tmp_path)
    facts = {"sender": "<>", "recipient": "info@x.example", "to": ["c@x.example", "d@x.example"]}
    event = Event(1.0, "route", "redirected", "aliases", "M1", "S1", 0.0, facts)
    to.observe(event)
    for address in ("info@x.example", "d@x.example", "c@x.example"):
        assert list(found(to, address)) == [event]
    assert list(found(to, "<>")) == []


def test_odd_addresses_and_facts_are_remembered(tmp_path: Path) -> None:
    """No mailbox, no JSON, half characters: nothing raises."""
    to = trace(tmp_path)
    facts: dict[str, object] = {"sender": "a b@@x", "recipient": "x\ud800@y", "to": "e@f.example"}
    endless: list[object] = []
    endless.append(endless)
    to.observe(Event(1.0, "s\ud800", "v", "", "M1", "", 0.0, facts))
    to.observe(Event(2.0, "s", "v", "", "M1", "", 0.0, {"x": endless, "y": object()}))
    assert len(found(to, "M1")) == 2
    assert len(found(to, "A b@@x")) == len(found(to, "e@f.example")) == 2


def test_it_can_be_asked_without_a_host(tmp_path: Path) -> None:
    """Another process, or after the stop: from the file alone, which it does not change."""
    to = trace(tmp_path)
    for event in of_message("M1", "a@x.example", "b@x.example"):
        to.observe(event)
    assert len(found(trace(tmp_path), "M1")) == 0
    result_of(to.stopService())
    assert [path.name for path in tmp_path.iterdir()] == ["trace.sqlite"]
    assert stat.S_IMODE((tmp_path / "trace.sqlite").stat().st_mode) == 0o600
    before = (tmp_path / "trace.sqlite").read_bytes()
    assert len(found(trace(tmp_path), "M1")) == 2
    assert (tmp_path / "trace.sqlite").read_bytes() == before
    (tmp_path / "none").mkdir()
    assert found(trace(tmp_path / "none"), "M1") == []
    assert not list((tmp_path / "none").iterdir())


def test_the_old_is_forgotten(tmp_path: Path) -> None:
    """By age, with the addresses that led to it."""
    clock = Clock()
    clock.advance(1e9)
    to = trace(tmp_path, clock, max_age=Duration(100))
    for at, id in ((1e9 - 200, "M1"), (1e9 - 50, "M2")):
        for event in of_message(id, f"{id}@x.example", "b@x.example", at):
            to.observe(event)
    assert len(found(to, "M2")) == 2
    assert found(to, "M1") == [] and found(to, "M1@x.example") == []
    clock.advance(FORGET_EVERY + 100)
    to.observe(Event(clock.seconds(), "queue", "due", id="M3"))
    assert len(found(to, "M3")) == 1
    assert found(to, "M2") == [] and found(to, "b@x.example") == []


def test_the_database_stays_in_its_size(tmp_path: Path) -> None:
    """The oldest go, the newest stay, and the file shrinks."""
    clock = Clock()
    to = trace(tmp_path, clock, max_size=Size(200_000))
    for n in range(1000):
        to.observe(Event(1.0, "s", "x" * 1000, id=f"M{n}", facts={"sender": f"{n}@x.example"}))
    assert len(found(to, "M999")) == 1
    assert found(to, "M0") == [] and found(to, "0@x.example") == []
    result_of(to.stopService())
    assert (tmp_path / "trace.sqlite").stat().st_size <= 200_000


def test_a_size_too_small_for_anything_keeps_nothing(tmp_path: Path) -> None:
    """And does not go on for ever."""
    to = trace(tmp_path, max_size=Size(1))
    for event in of_message("M1", "a@x.example", "b@x.example"):
        to.observe(event)
    assert found(to, "M1") == [] and found(to, "a@x.example") == []


def test_dropped_events_are_told(tmp_path: Path) -> None:
    """An event says how many are missing."""
    to = trace(tmp_path, waiting=2)
    for n in range(5):
        to.observe(Event(1.0, "s", "v", id=f"M{n}"))
    assert len(found(to, "M1")) == 1 and found(to, "M2") == []
    with sqlite3.connect(tmp_path / "trace.sqlite") as database:
        rows = database.execute("SELECT verdict, facts FROM event WHERE plugin = 'trace'")
        assert rows.fetchall() == [("dropped", '{"dropped": 3}')]


class TestDamage(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.file = self.folder / "trace.sqlite"

    def tell(self, to: Trace, id: str) -> None:
        for event in of_message(id, "a@x.example", "b@x.example"):
            to.observe(event)

    def test_what_is_no_database_is_set_aside(self) -> None:
        """Kept for who wants to look, and a new one is begun."""
        self.file.write_bytes(b"no database" * 1000)
        assert found(trace(self.folder), "M1") == []
        to = trace(self.folder)
        self.tell(to, "M1")
        assert len(found(to, "M1")) == 2
        aside = self.folder / "trace.sqlite.damaged"
        assert aside.read_bytes() == b"no database" * 1000

    def test_damage_found_later_is_set_aside_too(self) -> None:
        """While it runs: the events at hand go into the new one."""
        to = trace(self.folder)
        for n in range(200):
            self.tell(to, f"M{n}")
        result_of(to.stopService())
        octets = self.file.read_bytes()
        self.file.write_bytes(octets[:4096] + b"\xff" * (len(octets) - 4096))
        again = trace(self.folder)
        self.tell(again, "N1")
        assert len(found(again, "N1")) == 2
        assert (self.folder / "trace.sqlite.damaged").exists()

    def test_what_cannot_be_written_is_logged_and_forgotten(self) -> None:
        """A folder that is gone: the host goes on, and so does the trace when it is back."""
        gone = self.folder / "gone"
        clock = Clock()
        to = trace(gone, clock)
        self.tell(to, "M1")
        clock.advance(1)
        assert len(self.flushLoggedErrors(OSError)) == 1
        gone.mkdir()
        self.tell(to, "M2")
        assert len(found(to, "M2")) == 2

    def test_a_place_where_no_file_can_be_is_an_error_for_who_asks(self) -> None:
        """The database's own error, for the log."""
        self.file.mkdir()
        to = trace(self.folder)
        self.tell(to, "M1")
        with pytest.raises(sqlite3.OperationalError):
            found(to, "M1")
        assert len(self.flushLoggedErrors(sqlite3.OperationalError)) == 1


@pytest.mark.parametrize("key", ["max_age", "max_size"])
def test_limits_are_more_than_nothing(tmp_path: Path, key: str) -> None:
    """A trace that keeps nothing is no trace."""
    with pytest.raises(SettingError) as caught:
        trace(tmp_path, **{key: 0})
    assert caught.value.key == key


def test_another_file_and_stages(tmp_path: Path) -> None:
    """`file` is found from the configuration's folder."""
    to = trace(tmp_path, file=Path("other.sqlite"), stages=("deliver",))
    assert to.wants == {"deliver"}
    to.observe(Event(1.0, "deliver", "v", id="M1"))
    assert len(found(to, "M1")) == 1
    assert os.path.exists(tmp_path / "other.sqlite")


class TestInThreads(TestCase):
    timeout = 30

    async def test_asking_while_it_writes(self) -> None:
        """Thousands of events through real threads; who asks sees all that came before."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        to = Trace(
            Settings(every=Duration(0.01)),
            site(folder, reactor=reactor, in_thread=deferToThread, now=lambda: 3000.0),
        )
        for n in range(3000):
            to.observe(Event(float(n), "s", "v", id=f"M{n % 30}"))
            if n % 1000 == 999:
                events = await Deferred.fromCoroutine(to.events("M29"))
                assert len(events) == (n + 1) // 30
        await to.stopService()


class SeveralProcessesTests(TestCase):
    """Workers write into one file; here each is a Trace with a connection of its own."""

    timeout = 60

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()

    def workers(self, count: int) -> list[Trace]:
        """So many traces of one file, each working in threads."""
        lent = site(self.folder, reactor=reactor, in_thread=deferToThread, now=lambda: 3000.0)
        return [Trace(Settings(), lent) for _ in range(count)]

    async def test_they_begin_together(self) -> None:
        """The file is made once, and nobody's events are lost to the others' locks."""
        workers = self.workers(4)
        for turn in range(3):
            for number, worker in enumerate(workers):
                for event in of_message(f"M{number}{turn}", "a@x.example", "b@y.example"):
                    worker.observe(event)
            await gatherResults([Deferred.fromCoroutine(each.flush()) for each in workers])
        assert len(await workers[0].events("a@x.example")) == 4 * 3 * 2
        await gatherResults([each.stopService() for each in workers])

    async def test_one_sets_a_damaged_file_aside_for_all(self) -> None:
        """The others go on in the new file, and leave it in its place."""
        first, second = self.workers(2)
        for worker, id in ((first, "M1"), (second, "M2")):
            worker.observe(of_message(id, "a@x.example", "b@y.example")[0])
            await worker.flush()
        os.replace(self.folder / "trace.sqlite", self.folder / "trace.sqlite.damaged")
        for more in ("-wal", "-shm"):
            (self.folder / f"trace.sqlite{more}").unlink()
        for worker, id in ((first, "M3"), (second, "M4")):
            worker.observe(of_message(id, "a@x.example", "b@y.example")[0])
            await worker.flush()
        found = await second.events("a@x.example")
        assert [event.id for event in found] == ["M3", "M4"]
        await gatherResults([each.stopService() for each in (first, second)])
