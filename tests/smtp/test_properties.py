"""Properties of the language: no cut of the octets matters, no garbage raises, all is read back."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from mailframe.smtp.address import AddressError, Mailbox
from mailframe.smtp.command import (
    Auth,
    Bdat,
    Data,
    Ehlo,
    Expn,
    Helo,
    Help,
    Lhlo,
    Mail,
    Noop,
    Quit,
    Rcpt,
    Rset,
    StartTls,
    Vrfy,
    Xclient,
)
from mailframe.smtp.event import AuthLine, ContentEnd, ContentOctets, Event, Rejected
from mailframe.smtp.grammar import (
    Unwritable,
    parse_command,
    parse_reply_line,
    write_command,
    xtext_decode,
    xtext_encode,
)
from mailframe.smtp.offer import Offer
from mailframe.smtp.parameters import unitext_decode, unitext_encode
from mailframe.smtp.reply import Reply
from mailframe.smtp.server import MAX_AUTH_LINE, ServerDialogue
from mailframe.smtp.transparency import BadLineEnds, Dotter, LineEnds, Undotter

COMMON = settings(max_examples=150, deadline=None)

FRAGMENTS = st.sampled_from(
    [
        b"EHLO client.example\r\n",
        b"LHLO client.example\r\n",
        b"MAIL FROM:<a@client.example>\r\n",
        b"MAIL FROM:<> BODY=BINARYMIME\r\n",
        b"RCPT TO:<b@example.org>\r\n",
        b"RCPT TO:<b@example.org> NOTIFY=NEVER\r\n",
        b"DATA\r\n",
        b"BDAT 7\r\n",
        b"BDAT 12 LAST\r\n",
        b"BDAT 0 LAST\r\n",
        b"RSET\r\n",
        b"NOOP\r\n",
        b"AUTH PLAIN AGEAYg==\r\n",
        b"AUTH LOGIN\r\n",
        b"YQ==\r\n",
        b"*\r\n",
        b".\r\n",
        b"..\r\n",
        b"\r\n.\r\n",
        b"\n.\r\n",
        b"\r",
        b"\n",
        b"\0",
        b"text of a message\r\n",
        b"x" * 700,
        b"A" * 5000,
        b"STARTTLS\r\n",
        b"XCLIENT ADDR=192.0.2.7 LOGIN=a+20b\r\n",
        b"XCLIENT NAME=\r\n",
        b"QUIT\r\n",
    ]
)
SESSIONS = st.lists(st.one_of(FRAGMENTS, FRAGMENTS, FRAGMENTS, st.binary(max_size=8)), max_size=30)
BEGINNING = b"EHLO c.example\r\nMAIL FROM:<a@c.example>\r\nRCPT TO:<b@example.org>\r\n"
BEGINNINGS = st.sampled_from(
    [
        b"",
        BEGINNING,
        BEGINNING + b"DATA\r\n",
        BEGINNING + b"BDAT 900\r\n",
        b"EHLO c\r\nAUTH LOGIN\r\n",
    ]
)
OFFER = Offer(size=800, starttls=True, auth=("PLAIN", "LOGIN"), xclient=True)


def judge(event: Event, number: int) -> Reply:
    """An answer that depends on the event and its number alone."""
    if isinstance(event, Rejected):
        return event.reply
    if isinstance(event, ContentEnd) and event.refusal is not None:
        return event.refusal
    if number % 7 == 6:
        return Reply(451, "Later", "4.3.0")
    codes: dict[type[Any], int] = {
        Data: 354,
        StartTls: 220,
        Xclient: 220,
        Quit: 221,
        AuthLine: 235,
    }
    if isinstance(event, Auth):
        return Reply(235 if event.initial is not None else 334, "")
    return Reply(codes.get(type(event), 250), "")


def hear(octets: bytes, cuts: list[int], *, lmtp: bool = False) -> tuple[list[object], str]:
    """The events of these octets, content joined, and the state at the end."""
    dialogue = ServerDialogue("mx.example", OFFER, lmtp=lmtp)
    events: list[object] = []
    edges = sorted({0, len(octets), *(cut % (len(octets) + 1) for cut in cuts)})
    answered = 0
    for start, end in pairwise(edges):
        dialogue.receive_data(octets[start:end])
        while (event := dialogue.next_event()) is not None:
            if (
                isinstance(event, ContentOctets)
                and events
                and isinstance(events[-1], ContentOctets)
            ):
                events[-1] = ContentOctets(events[-1].octets + event.octets)
            else:
                events.append(event)
            if not isinstance(event, ContentOctets | Bdat):
                assert dialogue.owes_answer
                assert dialogue.next_event() is None
                dialogue.send(judge(event, answered))
                answered += 1
        assert dialogue.buffered <= MAX_AUTH_LINE
    return events, dialogue.state


@COMMON
@given(SESSIONS, st.lists(st.integers(0, 10000), max_size=40), st.booleans(), BEGINNINGS)
def test_any_cut_gives_the_same_events(
    fragments: list[bytes], cuts: list[int], lmtp: bool, beginning: bytes
) -> None:
    """However the octets arrive, the events, the content and the state are the same."""
    octets = beginning + b"".join(fragments)
    if lmtp:
        octets = octets.replace(b"EHLO", b"LHLO")
    assert hear(octets, [], lmtp=lmtp) == hear(octets, cuts, lmtp=lmtp)
    assert hear(octets, [], lmtp=lmtp) == hear(octets, list(range(len(octets))), lmtp=lmtp)


@COMMON
@given(st.lists(st.one_of(st.binary(max_size=300), FRAGMENTS), max_size=20), BEGINNINGS)
def test_garbage_never_raises(chunks: list[bytes], beginning: bytes) -> None:
    """Whatever comes, the dialogue has an answer, and keeps no more than a line."""
    octets = beginning + b"".join(chunks)
    hear(octets, list(range(0, len(octets), 13)))


def test_an_endless_line_is_not_kept() -> None:
    """50 MB without a line end leave less than a line in the buffer, in every state."""
    for beginning in (b"", b"AUTH ", BEGINNING + b"DATA\r\n", BEGINNING + b"BDAT 99999999\r\n"):
        dialogue = ServerDialogue("mx.example", OFFER)
        dialogue.receive_data(beginning)
        for _ in range(800):
            while (event := dialogue.next_event()) is not None:
                if not isinstance(event, ContentOctets | Bdat):
                    dialogue.send(judge(event, 0))
            assert dialogue.buffered <= MAX_AUTH_LINE
            dialogue.receive_data(b"x" * 65536)


CONTENT = st.lists(
    st.sampled_from([b"\r\n", b"\r\n", b".", b"..", b"a", b"text ", b"\xff", b" "]), max_size=40
).map(b"".join)
DIRTY = st.lists(st.sampled_from([b"\r", b"\n", b".", b"a", b"\0", b"\r\n"]), max_size=40)


def cut_up(octets: bytes, cuts: list[int]) -> list[bytes]:
    """The octets in pieces."""
    edges = sorted({0, len(octets), *(cut % (len(octets) + 1) for cut in cuts)})
    return [octets[start:end] for start, end in pairwise(edges)]


@COMMON
@given(CONTENT, st.lists(st.integers(0, 300)), st.lists(st.integers(0, 300)), st.binary(max_size=9))
@example(b"", [], [], b"")
@example(b".\r\n.", [1, 2, 3], [1, 2, 3], b".\r\n")
def test_dots_come_back(content: bytes, cuts: list[int], recuts: list[int], rest: bytes) -> None:
    """What is dotted at any cut is undotted at any other, and nothing after it is touched."""
    dotter, undotter = Dotter(), Undotter()
    wire = b"".join([dotter.feed(piece) for piece in cut_up(content, cuts)]) + dotter.finish()
    assert wire == b".\r\n" or wire.endswith(b"\r\n.\r\n")
    assert b"\r\n.\r\n" not in (b"\r\n" + wire)[:-1]
    whole = content if not content or content.endswith(b"\r\n") else content + b"\r\n"
    got, ended, left = b"", False, b""
    for piece in cut_up(wire + rest, recuts):
        if ended:
            left += piece
            continue
        octets, ended, after = undotter.feed(piece)
        got += octets
        left += after
    assert (got, ended, left, undotter.offence) == (whole, True, rest, False)


@COMMON
@given(DIRTY.map(b"".join), st.lists(st.integers(0, 80)))
def test_undotting_is_what_the_words_say(octets: bytes, cuts: list[int]) -> None:
    """The undotter, cut anyhow, agrees with the rule written line by line."""
    wire = b"\r\n" + octets
    end = wire.find(b"\r\n.\r\n")
    text = wire[2 : end + 2] if end >= 0 else wire[2:]
    offence = re.search(rb"\r(?!\n)|(?<!\r)\n|\0", text if end >= 0 else text + b"a")
    clean = text[: offence.start()] if offence else text
    expected = re.sub(rb"(?:^|(?<=\r\n))\.", b"", clean)
    undotter, got, ended, left = Undotter(), b"", False, b""
    for piece in cut_up(octets, cuts):
        if ended:
            left += piece
            continue
        content, ended, rest = undotter.feed(piece)
        got += content
        left += rest
    assert ended is (end >= 0)
    if ended:
        assert (got, left) == (expected, wire[end + 5 :])
        assert undotter.offence is (offence is not None)
    else:
        assert expected.startswith(got)
        assert len(expected) - len(got) <= 4


@COMMON
@given(DIRTY.map(b"".join), st.lists(st.integers(0, 80)))
def test_normalizing_is_what_the_words_say(octets: bytes, cuts: list[int]) -> None:
    """Cut anyhow, LFs become CRLFs, dots are undone behind each; CRLF dot CRLF alone is the end."""
    wire = b"\r\n" + octets
    end = wire.find(b"\r\n.\r\n")
    text = wire[2 : end + 2] if end >= 0 else wire[2:]
    offence = re.search(rb"\r(?!\n)|\0", text if end >= 0 else text + b"a")
    clean = re.sub(rb"\r?\n", b"\r\n", text[: offence.start()] if offence else text)
    expected = re.sub(rb"(?:^|(?<=\r\n))\.", b"", clean)
    undotter, ends, got, ended = Undotter(normalize=True), LineEnds(normalize=True), b"", False
    for piece in cut_up(octets, cuts):
        if not ended:
            content, ended, _ = undotter.feed(piece)
            got += content
    assert ended is (end >= 0)
    if ended:
        assert got == expected and undotter.offence is (offence is not None)
    else:
        assert expected.startswith(got) and len(expected) - len(got) <= 4
    text = b"".join([ends.feed(piece) for piece in cut_up(octets, cuts)])
    ends.finish()
    offence = re.search(rb"\r(?!\n)|\0", octets)
    assert ends.offence is (offence is not None)
    assert text == re.sub(rb"\r?\n", b"\r\n", octets[: offence.start()] if offence else octets)
    assert not undotter.offence or not got.endswith(b"\r")


@COMMON
@given(DIRTY.map(b"".join), st.lists(st.integers(0, 80)))
def test_nothing_dirty_is_dotted(octets: bytes, cuts: list[int]) -> None:
    """A bare CR, a bare LF or a NUL raises at the latest at the end, at any cut."""
    dirty = re.search(rb"\r(?!\n)|(?<!\r)\n|\0", octets) is not None
    dotter = Dotter()
    try:
        wire = b"".join([dotter.feed(piece) for piece in cut_up(octets, cuts)]) + dotter.finish()
    except BadLineEnds:
        assert dirty
    else:
        assert not dirty
        assert wire.endswith(b".\r\n")
    ends = LineEnds()
    clean = b"".join([ends.feed(piece) for piece in cut_up(octets, cuts)])
    ends.finish()
    assert ends.offence is dirty
    assert octets.startswith(clean)


NAMES = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?(\.[a-z0-9]{1,5}){0,3}", fullmatch=True)
LOCALS = st.one_of(
    st.text("abcXYZ0189._+-=/'\"\\@<>(), ", min_size=1, max_size=20),
    st.from_regex(r"[a-z]{1,8}(\.[a-z]{1,5})?", fullmatch=True),
    st.just("jörg"),
)
MAILBOXES = st.builds(
    Mailbox, LOCALS, st.one_of(NAMES, st.just("[192.0.2.1]"), st.just("bücher.de"))
)
PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=30)
COMMANDS = st.one_of(
    st.builds(Helo, NAMES),
    st.builds(Ehlo, NAMES),
    st.builds(Lhlo, NAMES),
    st.builds(
        Mail,
        st.none() | MAILBOXES,
        size=st.none() | st.integers(0, 10**19),
        body=st.sampled_from(["7BIT", "8BITMIME", "BINARYMIME"]),
        smtputf8=st.booleans(),
        ret=st.sampled_from([None, "FULL", "HDRS"]),
        envid=st.none() | PRINTABLE,
        auth=st.none() | st.just("<>") | MAILBOXES.map(str),
    ),
    st.builds(
        Rcpt,
        MAILBOXES | st.just(Mailbox("postmaster", "")),
        notify=st.sampled_from(
            [None, frozenset({"NEVER"}), frozenset({"SUCCESS", "DELAY"}), frozenset({"FAILURE"})]
        ),
        orcpt=st.none()
        | PRINTABLE.map("rfc822;{}".format)
        | PRINTABLE.map("utf-8;{}".format)
        | st.text("aö用+=\\{}", min_size=1).map("utf-8;{}".format),
    ),
    st.builds(Bdat, st.integers(0, 10**19), st.booleans()),
    st.builds(Auth, st.sampled_from(["PLAIN", "SCRAM-SHA-256"]), st.none() | st.binary()),
    st.builds(Vrfy, PRINTABLE.map(str.rstrip).filter(bool)),
    st.builds(Expn, PRINTABLE.map(str.rstrip).filter(bool)),
    st.builds(Help, st.sampled_from(["", "MAIL"])),
    st.builds(
        Xclient,
        st.dictionaries(
            st.sampled_from(["NAME", "ADDR", "PORT", "PROTO", "HELO", "LOGIN", "HOST"]),
            st.none() | PRINTABLE | st.sampled_from(["192.0.2.7", "::1", "25", "ESMTP", "c.x"]),
        ),
    ),
    st.sampled_from([Data(), Rset(), Noop(), Quit(), StartTls()]),
)


@settings(COMMON, max_examples=400)
@given(COMMANDS)
def test_a_written_command_is_read_back(command: Any) -> None:
    """What is written is one line that means the same, or it is not written."""
    try:
        line = write_command(command)
    except Unwritable:
        assume(False)
    assert line.endswith(b"\r\n")
    assert parse_command(line[:-2]) == command


@COMMON
@given(st.text(), st.text(), st.sampled_from([Mail, Rcpt, Vrfy, Ehlo, Help, Auth]))
def test_no_command_is_two_lines(one: str, two: str, kind: Any) -> None:
    """No text gets a line end or a control character into a command line."""
    commands = {
        Mail: Mail(Mailbox(one, two), envid=two, auth=one),
        Rcpt: Rcpt(Mailbox(one, two), orcpt=f"rfc822;{one}"),
    }
    command = commands[kind] if kind in commands else kind(one)
    try:
        line = write_command(command)
    except Unwritable:
        return
    assert re.fullmatch(rb"[^\x00-\x1f\x7f]*\r\n", line)


@COMMON
@given(st.binary(max_size=60))
def test_any_line_has_a_meaning(line: bytes) -> None:
    """A line is a command or a refusal; a reply line is a reply or a ValueError."""
    meaning = parse_command(line)
    assert not isinstance(meaning, Reply) or not meaning.positive
    try:
        parsed = parse_reply_line(line)
    except ValueError:
        return
    Reply(parsed.code, parsed.text, parsed.status)


@COMMON
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_xtext_comes_back(text: str) -> None:
    """xtext and the utf-8 form of addresses hold any text in printable ASCII."""
    assert xtext_decode(xtext_encode(text)) == text
    assert re.fullmatch(r"[!-~]*", xtext_encode(text))
    if text:
        assert re.fullmatch(r"[!-~]*", unitext_encode(text))
        if min(text) >= " ":
            assert unitext_decode(unitext_encode(text)) == text


@COMMON
@given(st.text(max_size=40))
def test_a_mailbox_is_spelled_one_way(text: str) -> None:
    """What parses is spelled so that it parses to the same."""
    try:
        mailbox = Mailbox.parse(text)
    except AddressError:
        return
    assert Mailbox.parse(str(mailbox)) == mailbox
