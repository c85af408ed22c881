"""What becomes of header sections that do not end, or hold what is for nobody's eyes."""

import pytest
from reception_kit import Place

DATE = b"Date: Sat, 22 Nov 2025 22:14:00 +0000\r\n"


def stored(octets, place=None, cut=None):
    """The message as the store has it, sent by BDAT in pieces of `cut` octets: ours, theirs."""
    place = place or Place()
    talk = place.greeted()
    talk.mail("bob")
    cut = cut or len(octets)
    for at in range(0, len(octets), cut):
        piece = octets[at : at + cut]
        last = " LAST" if at + cut >= len(octets) else ""
        talk.send(f"BDAT {len(piece)}{last}\r\n".encode() + piece)
    assert set(talk.codes()) == {"250"}
    content = place.handed[-1][0].message.content
    assert content.body == place.store.drafts[-1].octets
    return content.prefix, bytes(content.body)


@pytest.mark.parametrize("cut", [None, 1, 7])
@pytest.mark.parametrize(
    ("octets", "kept"),
    [
        (b"UPS on battery since 10:00\r\n", b"\r\nUPS on battery since 10:00\r\n"),
        (b"hello\r\nDate: x\r\n\r\nz\r\n", b"\r\nhello\r\nDate: x\r\n\r\nz\r\n"),
        (b" indented first line\r\n", b"\r\n indented first line\r\n"),
        (b"\tfor <evil@x.example>\r\n", b"\r\n\tfor <evil@x.example>\r\n"),
        (b"From alice Mon Nov 23\r\nSubject: x\r\n\r\nb\r\n", b"Subject: x\r\n\r\nb\r\n"),
        (b">From alice Mon Nov 23\r\nSubject: x\r\n\r\nb\r\n", b"Subject: x\r\n\r\nb\r\n"),
        (b"Subject: x\r\nno empty line\r\n", b"Subject: x\r\n\r\nno empty line\r\n"),
        (b"no line end", b"\r\nno line end"),
        (b"Subject: x\r\n", b"Subject: x\r\n"),
        (b"\r\nbody\r\n", b"\r\nbody\r\n"),
        (b"Bcc: x\r\n\r\nBcc: y\r\n", b"\r\nBcc: y\r\n"),
        (b"Bcc: x\r\n y\r\n\tz\r\nA: b\r\n c\r\n\r\n", b"A: b\r\n c\r\n\r\n"),
        (b"A: b\r\n bcc: c\r\nBCC : d\r\n\r\n", b"A: b\r\n bcc: c\r\n\r\n"),
        (b"A: b\r\nReturn-Path: <x>\r\nRESENT-Bcc: y\r\nC: d\r\n\r\n", b"A: b\r\nC: d\r\n\r\n"),
        (b"Content-Length: 5\r\nContent-Type: x\r\n\r\n", b"Content-Type: x\r\n\r\n"),
        (b"A: b\r\nBcc: x\r\ntext\r\n", b"A: b\r\n\r\ntext\r\n"),
        (b"A: b\r\nBcc: never ends", b"A: b\r\n"),
        (b"Bcc-Count: 3\r\nX-Bcc: 3\r\n\r\n", b"Bcc-Count: 3\r\nX-Bcc: 3\r\n\r\n"),
    ],
)
def test_what_is_kept(octets, kept, cut):
    """Text stays text, and nobody reads who had a blind copy (RFC 5322 section 3.6.3)."""
    ours, theirs = stored(octets, cut=cut)
    assert theirs == kept
    assert ours.startswith(b"Received: from client.example ") and ours.endswith(b"\r\n")


def test_our_own_fields_cannot_be_extended():
    """The line below the last field of ours begins a field, or is empty."""
    place = Place(submission=True)
    ours, theirs = stored(b" (comment of the client)\r\nDate: x\r\n", place)
    assert ours.endswith(DATE)
    assert theirs.startswith(b"\r\n ")


def test_a_submitted_text_gets_the_fields_that_it_lacks():
    """A Date: in a body is no field (RFC 6409 section 8)."""
    ours, _ = stored(b"Date: x\r\n\r\n", Place(submission=True))
    assert b"Date:" not in ours and b"Message-ID:" in ours
    ours, _ = stored(b"hello\r\nDate: x\r\nMessage-ID: y\r\n\r\n", Place(submission=True))
    assert DATE in ours and b"Message-ID:" in ours


def test_which_fields_are_dropped_is_a_setting():
    """`drop_fields` of the listener; none drops none."""
    octets = b"Bcc: x\r\nX-Own: y\r\n\r\n"
    assert stored(octets, Place(drop_fields=()))[1] == octets
    assert stored(octets, Place(drop_fields=("x-OWN",)))[1] == b"Bcc: x\r\n\r\n"


def test_what_is_held_to_the_end_reaches_a_slow_store():
    """The last write is waited for, and its failure is a 4xx."""
    for wrong in (None, OSError(5, "input/output error")):
        place = Place()
        talk = place.greeted()
        talk.mail("bob")
        place.store.slow.add("write")
        if wrong is not None:
            place.store.wrong["write"] = wrong
        talk.send(b"BDAT 5 LAST\r\nhello")
        assert talk.codes() == []
        place.store.slow.clear()
        place.store.go_on()
        assert talk.codes() == ["250" if wrong is None else "451"]
        assert len(place.handed) == (wrong is None)


def test_a_dropped_field_without_end_costs_no_memory():
    """It is not kept while it comes; the message counts by what was sent."""
    place = Place()
    talk = place.greeted()
    talk.mail("bob")
    talk.say("DATA")
    talk.send(b"Subject: x\r\nBcc: ")
    for _ in range(100):
        talk.send(b"x" * 65536)
    assert len(place.store.drafts[-1].octets) < 1000
    talk.send(b"\r\n\r\nbody\r\n.\r\n")
    assert talk.codes()[-1] == "250"
    assert place.store.drafts[-1].octets == b"Subject: x\r\n\r\nbody\r\n"
