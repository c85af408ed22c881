"""A short run of the fuzzer, and proof that its oracle can say no."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from fuzz_model import Model
from fuzz_place import InProcess, Stored
from fuzz_plan import make_plan
from fuzz_replies import Broken, ReplyReader
from fuzz_rounds import play_outbound, play_queue, run_rounds
from fuzz_rules import kept
from fuzz_run import Fuzz
from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from mailframe.message import Outcome, Pending, Status
from mailframe.queue.progress import Progress
from mailframe.smtp.reply import NO_DELIVERY, OK
from mailframe.transmission import Courier


class TestShortRun(TestCase):
    timeout = 120

    async def test_nothing_is_found(self) -> None:
        """A dozen seconds of random sessions, with the seed of MAILFRAME_FUZZ_SEED or a new one."""
        seed = os.environ.get("MAILFRAME_FUZZ_SEED") or os.urandom(4).hex()
        place = InProcess(reactor)
        place.start()
        fuzz = Fuzz(place, seed, seconds=12, tell=lambda line: None)
        try:
            await deferToThread(fuzz.run)
        finally:
            await place.stop()
        again = f"python tests/fuzz/fuzz_run.py --seed {seed}; {fuzz}\n"
        assert not fuzz.failure, again + fuzz.failure
        assert not place.faults, again + place.faults[0]
        assert fuzz.done > 20 and fuzz.healthy > 20 and fuzz.accepted > 20, again


def test_nothing_is_found_on_the_way_out() -> None:
    """Deliveries to servers that answer at random, some hundred rounds of a fixed seed."""
    done, failure = run_rounds(play_outbound, "short", rounds=500)
    assert not failure, failure
    assert done == 500


def test_nothing_is_found_in_the_queue() -> None:
    """Aliases, agents and stores that fail at random, some rounds of a fixed seed."""
    done, failure = run_rounds(play_queue, "short", rounds=60)
    assert not failure, failure
    assert done == 60


def test_mail_that_is_lost_in_the_queue_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue that forgets whom it has put off is found out."""

    def forget(self: Progress, pending: Pending, outcome: Outcome, tried: int = 1) -> None:
        del self.left[pending.recipient]

    monkeypatch.setattr(Progress, "_defer", forget)
    failures = [play_queue(f"lost:{index}")[0] for index in range(20)]
    assert any("neither delivered nor reported" in failure for failure in failures), failures


@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        (lambda outcome: replace(outcome, status=Status.FAILED), "status and reply disagree"),
        (lambda outcome: replace(outcome, ours=True), "told as ours"),
        (lambda outcome: replace(outcome, reply=NO_DELIVERY, status=Status.DEFERRED), "taken and"),
        (lambda outcome: replace(outcome, reply=OK, status=Status.RELAYED), "by nobody"),
    ],
)
def test_outcomes_that_are_not_allowed(
    wrong: Callable[[Outcome], Outcome], found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A courier that tells one outcome wrongly is found out."""
    deliver = Courier.deliver

    async def lie(*asked: Any) -> list[Outcome]:
        return [wrong(each) for each in await deliver(*asked)]

    monkeypatch.setattr(Courier, "deliver", lie)
    failures = [play_outbound(f"lies:{index}")[0] for index in range(60)]
    assert any(found in failure for failure in failures), failures


def test_a_seed_gives_the_same_session_again() -> None:
    """A failure can be replayed."""
    assert make_plan("7:3") == make_plan("7:3") != make_plan("7:4")


@pytest.mark.parametrize(
    "octets",
    [
        b"250\n",
        b"250 OK\n\r\n",
        b"25 OK\r\n",
        b"650 5.0.0 OK\r\n",
        b"250-OK\r\n550 5.0.0 no\r\n",
        b"550 no\r\n",
        b"550 4.0.0 no\r\n",
        b"354 3.0.0 go\r\n",
        b"550-5.0.0 no\r\n550 5.1.0 no\r\n",
        b"250 " + b"x" * 507 + b"\r\n",
        b"250 \xff\r\n",
    ],
)
def test_replies_that_are_not_well_formed(octets: bytes) -> None:
    """Each is found."""
    with pytest.raises(Broken):
        ReplyReader().feed(octets + b"x" * 600 * (b"\r" not in octets))


GREETED = (b"", b"220 mx ESMTP\r\n", b"EHLO c\r\n", b"250 mx\r\n")
OPEN = (*GREETED, b"MAIL FROM:<a@client.example>\r\n", b"250 2.1.0 OK\r\n")
READY = (*OPEN, b"RCPT TO:<b@example.org>\r\n", b"250 2.1.5 OK\r\n", b"DATA\r\n", b"354 go\r\n")


@pytest.mark.parametrize(
    "told",
    [
        (*GREETED, b"", b"250 2.0.0 nobody asked\r\n"),
        (*GREETED, b"NOOP\r\n", b"250 2.0.0 OK\r\n250 2.0.0 OK\r\n"),
        (*GREETED, b"NOOP\r\n", b"500 5.5.1 no\r\n"),
        (*GREETED, b"DATA\r\n", b"354 go\r\n"),
        (*GREETED, b"RCPT TO:<b@example.org>\r\n", b"250 2.1.5 OK\r\n"),
        (*GREETED, b"AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n", b"235 2.7.0 in the clear\r\n"),
        (*OPEN, b"RCPT TO:<b@elsewhere.example>\r\n", b"250 2.1.5 OK\r\n"),
        (*OPEN, b"RCPT TO:<b@example.org>\r\n", b"550 5.1.1 no\r\n"),
        (*READY, b"a\n.\r\n.\r\n", b"250 2.0.0 OK, queued as 0123456789BCDFGH\r\n"),
        (*READY, b"a\r\n.\n", b"250 2.0.0 OK, queued as 0123456789BCDFGH\r\n"),
        (*READY, b"a\r\n.\r\n", b"250 2.0.0 OK\r\n"),
        (*READY, b"a\r\n.\r\n", b"554 5.6.0 no\r\n"),
        (*GREETED, b"QUIT\r\n", b"221 2.0.0 bye\r\n250 2.0.0 OK\r\n"),
    ],
)
def test_answers_that_are_not_allowed(told: tuple[bytes, ...]) -> None:
    """Relaying, smuggling, answers to nothing and wrong refusals are all found."""
    model, reader = Model(), ReplyReader()
    with pytest.raises(Broken):
        for at, octets in enumerate(told):
            if at % 2 == 0:
                model.sent(octets)
                continue
            for reply in reader.feed(octets):
                model.heard(reply)


def test_a_message_that_was_changed_is_found() -> None:
    """Other octets, another recipient, a stranger's domain."""
    model, reader = Model(), ReplyReader()
    said = (b"A: a\r\n\r\n..b\r\n.\r\n", b"250 2.0.0 OK, queued as M\r\n")
    for at, octets in enumerate((*READY, *said)):
        octets = octets.replace(b" M\r", b" 0123456789BCDFGH\r")
        if at % 2 == 0:
            model.sent(octets)
        else:
            _hear(model, reader, octets)
    (sent,) = model.acknowledged.values()
    assert sent.content == b"A: a\r\n\r\n.b\r\n"
    good = _stored(b"A: a\r\n\r\n.b\r\n", "b@example.org")
    good.check(sent)
    for octets, to in ((b"A: a\r\n\r\n", "b"), (b"A: a\r\n\r\n.b\r\n", "c")):
        wrong = _stored(octets, f"{to}@example.org")
        with pytest.raises(Broken):
            wrong.check(sent)


def test_the_model_knows_what_is_stored() -> None:
    """A header section that ends, without what is for nobody's eyes."""
    assert kept(b"hello\r\nBcc: x\r\n") == b"\r\nhello\r\nBcc: x\r\n"
    assert kept(b"From a\r\nBCC: x\r\n y\r\nA: b\r\n c\r\n\r\n d") == b"A: b\r\n c\r\n\r\n d"
    assert kept(b"A: b\r\nc\r\n\r\n") == b"A: b\r\n\r\nc\r\n\r\n"
    assert kept(b" a: b") == b"\r\n a: b"


def _hear(model: Model, reader: ReplyReader, octets: bytes) -> None:
    for reply in reader.feed(octets):
        model.heard(reply)


def _stored(octets: bytes, *to: str) -> Stored:
    import hashlib

    digest: Any = hashlib.sha256(octets).digest()
    return Stored(1, frozenset(to), False, len(octets), digest)
