"""Departure hooks: asked in order about what leaves, and nothing leaves that should not."""

from __future__ import annotations

import io
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from mailframe.hooks import Bound
from mailframe.message import Content, Departed, Departure, Message, Recipient, Route, Without
from mailframe.smtp.address import Mailbox
from mailframe.smtp.reply import Reply
from mailframe.testing.hooks import Remembered, compose_hooks, result_of
from mailframe.testing.values import content, envelope, message, recipient

REFUSED = Reply(550, "This does not leave", "5.7.1")
BOB, EVE = recipient("bob@x.example"), recipient("eve@x.example")
BOUNCES = Mailbox("bounces", "example.org")


class Departs:
    """A departure hook made of what it says; `seen` are the octets that it was shown."""

    def __init__(self, answer: Any = None) -> None:
        self.answer = answer
        self.looks = True
        self.seen: list[bytes] = []

    def depart(self, message: Message, routes: Any) -> Any:
        if self.looks:
            self.seen.append(octets(message.content))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def octets(of: Content) -> bytes:
    with of.open() as file:
        read = file.read()
    assert len(read) == of.size
    return read


def ask(
    *hooks: Any, mail: Message | None = None, to: tuple[Recipient, ...] = (BOB,), **more: Any
) -> Any:
    routes = [Route("smtp", each) for each in to]
    return compose_hooks(departures=hooks, **more).depart(mail or message(), routes)


def departed(*hooks: Any, **more: Any) -> Departed:
    answer = result_of(ask(*hooks, **more))
    assert isinstance(answer, Departed), answer
    return answer


def refused(*hooks: Any, **more: Any) -> Reply:
    answer = result_of(ask(*hooks, **more))
    assert isinstance(answer, Reply), answer
    return answer


def stored(octets: bytes, prefix: bytes = b"") -> Content:
    """Content that has to be opened."""
    return Content(prefix, lambda: io.BytesIO(octets), len(octets))


class TestDeparting(SynchronousTestCase):
    def test_nobody_speaks(self) -> None:
        """The message leaves as it is, the same object."""
        mail = message()
        assert departed(mail=mail).message is mail
        assert departed(Departs(), Departs(), mail=mail).message is mail

    def test_all_are_asked_each_about_what_those_before_made(self) -> None:
        """Fields on top, the last on the very top."""
        first, second = Departs(Departure(("A: 1",))), Departs(Departure(("B: 2\n folded",)))
        left = departed(first, second)
        assert second.seen == [b"A: 1\r\n" + first.seen[0]]
        assert octets(left.message.content) == b"B: 2\r\n folded\r\nA: 1\r\n" + first.seen[0]

    def test_fields_go(self) -> None:
        """All of a name or some of them, of what is at hand and of what is not."""
        body = b"To: a\r\nX-Y: 1\r\nSubject: s\r\nx-y: 2\r\n\r\nX-Y: text\r\n"
        for of in (content(body, b"X-Y: 0\r\n"), stored(body, b"X-Y: 0\r\n")):
            mail = Message("M1", envelope(), of)
            all_gone = departed(Departs(Departure(without=(Without("X-y"),))), mail=mail)
            assert octets(all_gone.message.content) == b"To: a\r\nSubject: s\r\n\r\nX-Y: text\r\n"
            one = departed(Departs(Departure(("T: t",), (Without("x-y", (1,)),))), mail=mail)
            assert octets(one.message.content) == (
                b"T: t\r\nX-Y: 0\r\nTo: a\r\nSubject: s\r\nx-y: 2\r\n\r\nX-Y: text\r\n"
            )

    def test_fields_go_from_a_message_without_a_body(self) -> None:
        """There may be no empty line."""
        for octets_ in (b"A: 1\r\nB: 2\r\n", b""):
            for of in (content(octets_), stored(octets_)):
                left = departed(
                    Departs(Departure(without=(Without("A"),))), mail=Message("M1", envelope(), of)
                )
                assert octets(left.message.content) == octets_[6:]

    def test_content_is_replaced(self) -> None:
        """Before fields go and come."""
        new = content(b"A: 1\r\nB: 2\r\n\r\nfooted\r\n")
        left = departed(Departs(Departure(("C: 3",), (Without("A"),), new)))
        assert octets(left.message.content) == b"C: 3\r\nB: 2\r\n\r\nfooted\r\n"

    def test_senders(self) -> None:
        """Of each recipient; the last hook's count; the null sender stays."""
        one = Departs(Departure(senders={BOB: BOUNCES, EVE: BOUNCES}))
        two = Departs(Departure(senders={EVE: Mailbox("eve", "example.org")}))
        left = departed(one, two, to=(BOB, EVE))
        assert left.senders == {BOB: BOUNCES, EVE: Mailbox("eve", "example.org")}
        report = Message("M1", envelope(None), content())
        assert departed(one, mail=report, to=(BOB, EVE)).senders == {}

    def test_a_refusal_ends_it(self) -> None:
        """Nobody after it is asked."""
        later = Departs()
        assert refused(Departs(REFUSED), later) == REFUSED
        assert later.seen == []

    def test_an_answer_may_come_later(self) -> None:
        """A Deferred and a coroutine are as good as a value."""
        waiting: Deferred[Departure] = Deferred()
        asked = ask(Departs(succeed(Departure(("A: 1",)))), Departs(waiting))
        assert isinstance(asked, Deferred)
        waiting.callback(Departure(("B: 2",)))
        assert octets(result_of(asked).message.content).startswith(b"B: 2\r\nA: 1\r\n")

    def test_a_fault_keeps_the_message(self) -> None:
        """Nothing leaves unsigned because a signer failed."""
        wrong: tuple[Any, ...] = (
            RuntimeError("secret"),
            "nonsense",
            Reply(250, "ok"),
            Departure(("no header",)),
            Departure(("Forged: x\r\nBcc: y",)),
            Departure(("Umlaut: ü",)),
            Departure(without=("Name",)),  # type: ignore[arg-type]
            Departure(senders={EVE: BOUNCES}),
            Departure(senders={BOB: "bounces@example.org"}),  # type: ignore[dict-item]
            Departure(content=b"octets"),  # type: ignore[arg-type]
            Departure(content=content("ü".encode())),
            Departure(content=Content(b"", _broken, 4), without=(Without("A"),)),
        )
        for answer in wrong:
            reply = refused(Departs(answer))
            assert (reply.code, reply.status) == (451, "4.3.0") and "(ref " in reply.text, answer
            self.flushLoggedErrors()

    def test_a_fault_may_be_skipped(self) -> None:
        """If the operator says so: what the others made of the message stays."""
        skipped = Bound("departure", "x", Departs(RuntimeError()), on_error="skip")
        odd = Bound("departure", "y", Departs(Departure(("Umlaut: ü",))), on_error="skip")
        left = departed(Departs(Departure(("A: 1",))), skipped, odd)
        assert octets(left.message.content).startswith(b"A: 1\r\nSubject")
        assert len(self.flushLoggedErrors()) == 2

    def test_utf8_fields_where_the_message_leaves_so(self) -> None:
        """With SMTPUTF8 a field may be in UTF-8."""
        mail = Message("M1", envelope(smtputf8=True, body="8BITMIME"), content())
        left = departed(Departs(Departure(("Umlaut: ü",))), mail=mail)
        assert octets(left.message.content).startswith("Umlaut: ü\r\n".encode())

    def test_a_store_that_cannot_be_read_is_nobodys_fault(self) -> None:
        """The caller hears of it."""
        mail = Message("M1", envelope(), Content(b"", _broken, 4))
        hook = Departs(Departure(without=(Without("A"),)))
        hook.looks = False
        with self.assertRaises(OSError):
            result_of(ask(hook, mail=mail))
        assert self.flushLoggedErrors() == []

    def test_only_mail_of_its_listeners(self) -> None:
        """`on`: mail of the host's own making is of none."""
        here = Bound("departure", "x", Departs(REFUSED), on=frozenset({"mx"}))
        elsewhere = Bound("departure", "x", Departs(REFUSED), on=frozenset({"submission"}))
        assert refused(here) == REFUSED
        assert departed(elsewhere)

    def test_it_is_told(self) -> None:
        """One event for each that spoke."""
        observer = Remembered()
        ask(Departs(), Departs(Departure(("A: 1",))), Departs(REFUSED), observers=[observer])
        assert observer.verdicts("departure") == ["changed", str(REFUSED)]
        (first, _) = (event for event in observer.events if event.stage == "departure")
        assert first.id == "M1" and first.facts["recipients"] == ["bob@x.example"]

    def test_a_witness_sees_all(self) -> None:
        """Those without an opinion too."""
        seen: list[Any] = []

        class Witness:
            def asked(self, question: Any, answer: Any, seconds: float) -> None:
                seen.append(answer)

            def decided(self, question: Any, answer: Any) -> None:
                seen.append(("decided", answer))

        hooks = compose_hooks(departures=[Departs(), Departs(REFUSED)])
        result_of(hooks.depart(message(), [Route("smtp", BOB)], Witness()))
        assert seen == [None, REFUSED, ("decided", REFUSED)]


def _broken() -> Any:
    raise OSError("the disk is gone")
