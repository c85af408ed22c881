"""The crash tests' own accounts: what is lost, partial or doubled does not go unseen."""

from __future__ import annotations

import pytest
from crash_book import Book
from crash_letters import Letter, is_letter, letter_in, wrong_with
from crash_syncs import calls_of

TRACE = b"Return-Path: <sender@ours.example>\nReceived: from a\n\tby b; now\n"
LETTER = Letter(1, 2, 3)
FILE = TRACE + LETTER.octets().replace(b"\r\n", b"\n")
TO = ("box2@ours.example",)


def promised() -> Book:
    book = Book()
    book.promise(LETTER, TO)
    return book


def test_a_letter_is_told_from_its_repetition():
    """Name and octets of a letter are its own, attempt by attempt."""
    assert letter_in(FILE) == LETTER
    assert LETTER.next_attempt().octets() != LETTER.octets() == Letter(1, 2, 3).octets()


@pytest.mark.parametrize("octets", [FILE, TRACE.replace(b"\n", b"\r\n") + LETTER.octets()])
def test_a_whole_letter_is_whole(octets):
    """Trace fields on top, and line ends of files or of the wire, are right."""
    assert wrong_with(octets) == ""


@pytest.mark.parametrize(
    "octets",
    [
        FILE[:-1],
        FILE + b"\n",
        FILE[: len(FILE) // 2],
        FILE.replace(b"zw", b"zv"),
        b"Subject: more\n" + FILE,
        b"\n" + FILE,
        TRACE,
        b"",
    ],
)
def test_anything_else_is_not(octets):
    """A cut, a changed octet, another field: each is found."""
    assert wrong_with(octets)


def test_what_does_not_arrive_is_lost():
    """A promise is kept by a copy or by a report, and by nothing else."""
    book = promised()
    assert book.missing() == [(LETTER.name, TO[0])]
    assert book.wrong() == [f"LOST {LETTER.name} for {TO[0]}"]
    book.arrived(FILE, "another@ours.example", 1.0)
    assert book.missing()
    book.arrived(FILE[:-5], TO[0], 1.0)
    assert book.missing() and book.faults
    book.arrived(FILE, TO[0], 1.0)
    assert not book.missing()


def test_a_report_keeps_the_promise_for_its_recipient():
    """A report that fails a recipient and returns the letter's header counts."""
    book = promised()
    head = LETTER.octets().partition(b"\r\n\r\n")[0].replace(b"\r\n", b"\n")
    report = (
        b'Content-Type: multipart/report; boundary="b"\n\n'
        b"--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; a\n\n"
        b"Final-Recipient: rfc822; box2@ours.example\nAction: %b\n\n"
        b"--b\nContent-Type: text/rfc822-headers\n\n" + head + b"\n\n--b--\n"
    )
    assert not is_letter(report)
    book.returned(report.replace(b"%b", b"delayed"))
    assert book.missing()
    book.returned(report.replace(b"%b", b"failed"))
    assert not book.missing() and not book.faults


@pytest.mark.parametrize(
    ("kills", "answered", "strange"),
    [([], True, 1), ([102.0], True, 0), ([50.0], True, 1), ([190.0], True, 1), ([], False, 0)],
)
def test_a_copy_more_needs_a_reason(kills, answered, strange):
    """A second copy is explained by a kill soon after the first, or by a lost answer."""
    book = promised()
    book.kills = kills
    book.arrived(FILE, TO[0], 100.0, answered)
    book.arrived(FILE, TO[0], 200.0)
    count, unexplained = book.repeated()
    assert (count, len(unexplained)) == (1, strange)


def test_calls_are_in_the_order_of_their_return():
    """A sync that has only begun when the answer is sent comes after it."""
    trace = (
        "10 fdatasync(5<queue.db-wal> <unfinished ...>\n"
        '11 sendto(7<socket:[1]>, "250 2.0.0 OK", 12, 0, NULL, 0) = 12\n'
        "10 <... fdatasync resumed>) = 0\n"
        "12 fsync(4</tmp/x>) = -1 EIO (Input/output error)\n"
    )
    assert [call.name for call in calls_of(trace)] == ["sendto", "fdatasync"]
    assert "queue.db-wal" in calls_of(trace)[1].words
