"""What hosts without 8BITMIME get of messages as they really are: readers see the same in them."""

from __future__ import annotations

import base64
from email import message_from_bytes

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailframe.mime import header
from mailframe.mime.entity_checks import CannotConvert
from mailframe.mime.seven_bit import Tolerance, re_encoded, to_seven_bit

MULTIPART = b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n"


def leaves(octets: bytes) -> list[tuple[str, bytes]]:
    """The type and the decoded octets of every part, as Python's email package reads them."""
    return [
        (part.get_content_type(), part.get_payload(decode=True))
        for part in message_from_bytes(octets).walk()
        if not part.is_multipart()
    ]


def is_sendable(octets: bytes, eight_bit: bool = False) -> bool:
    """Lines within the limit, of ASCII."""
    return (eight_bit or octets.isascii()) and all(
        len(line) <= 998 and not set(line) & set(b"\r\n\0") for line in octets.split(b"\r\n")
    )


#: messages of the kinds that mailers really send, by what is odd in them
MESSAGES = {
    "a Content-Type without MIME-Version": b"Content-Type: text/html; charset=latin1\r\n\r\n\xe9",
    "7bit that is none": b"MIME-Version: 1.0\r\nContent-Transfer-Encoding: 7bit\r\n\r\n\xe9\r\n",
    "quoted-printable that is not": b"MIME-Version: 1.0\r\nContent-Type: text/plain\r\n"
    b"Content-Transfer-Encoding: quoted-printable\r\n\r\n\xe9 =E9 = =ZZ =\r\n==\r\nx =3D \t\r\nz",
    "quoted-printable in one line": b"MIME-Version: 1.0\r\nContent-Type: text/html\r\n"
    b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + b"=C3=A9 word " * 400 + b"\r\n",
    "base64 in one line": b"MIME-Version: 1.0\r\nContent-Type: a/b\r\n"
    b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.b64encode(bytes(range(256)) * 20),
    "base64 with a no-break space in it": b"MIME-Version: 1.0\r\nContent-Type: a/b\r\n"
    b"Content-Transfer-Encoding: base64\r\n\r\nAAEC\xa0\r\n\xa0AwQF\r\n",
    "an encoding that nobody knows": b"MIME-Version: 1.0\r\nContent-Type: text/plain\r\n"
    b"Content-Transfer-Encoding: 8 bit\r\n\r\n\xe9\r\n",
    "fields twice": (b"MIME-Version: 1.0\r\nContent-Type: text/plain\r\n" * 2) + b"\r\n\xe9\r\n",
    "a multipart said to be encoded": MULTIPART + b"Content-Transfer-Encoding: quoted-printable\r\n"
    b"\r\n--b\r\n\r\n\xe9\r\n--b--\r\n",
    "a multipart that was cut off": MULTIPART + b"\r\n--b\r\n\r\n\xe9\r\n--b\r\n\r\n\xe9 and",
    "8-bit octets that nobody is to see": MULTIPART + b"\r\n\xe9\r\n--b\r\n\r\nx\r\n--b--\r\n\xe9",
    "a digest": b"MIME-Version: 1.0\r\nContent-Type: multipart/digest; boundary=b\r\n\r\n"
    b"--b\r\n\r\nSubject: one\r\n\r\n\xe9\r\n--b\r\n\r\nSubject: \xe9\r\n\r\ntwo\r\n--b--\r\n",
    "a report with 8-bit words": b"MIME-Version: 1.0\r\nContent-Type: multipart/report; boundary=b"
    b"\r\n\r\n--b\r\n\r\n\xe9\r\n--b\r\nContent-Type: text/rfc822-headers\r\n\r\nSubject: \xe9\r\n"
    b"\r\n--b--\r\n",
    "an mbox line on top of a message within": MULTIPART + b"\r\n--b\r\n"
    b"Content-Type: message/rfc822\r\n\r\nFrom x Mon Nov 23 10:00:00 2026\r\nSubject: x\r\n\r\n\xe9"
    b"\r\n--b--\r\n",
    "one line of HTML": b"MIME-Version: 1.0\r\nContent-Type: text/html\r\n\r\n"
    + b"<p>--b \xc3\xa9</p>" * 500,
    "binary text": b"MIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\na\nb\rc\0\xe9\r\n",
}  # fmt: skip


@pytest.mark.parametrize("what", MESSAGES)
def test_readers_see_the_same(what: str) -> None:
    """Each host gets it as it takes it: 7-bit text, or lines that are not too long."""
    octets = MESSAGES[what]
    before = leaves(octets)
    converted = to_seven_bit(octets)
    assert is_sendable(converted)
    assert [body for _, body in leaves(converted)] == [body for _, body in before]
    shorter = re_encoded(octets, Tolerance(eight_bit=True, unicode=True))
    assert is_sendable(shorter, eight_bit=True)
    assert leaves(shorter) == before


def test_fields_for_programs_are_spelled_like_header_fields() -> None:
    """RFC 3464 section 2.1.1: no encoding is allowed for the part, but there is for words."""
    octets = (
        MULTIPART + b"\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n"
        b"Reporting-MTA: dns; x\r\n\r\nFinal-Recipient: rfc822;a@x\r\n"
        b"Diagnostic-Code: smtp; 550 refus\xe9\r\n--b--\r\n"
    )
    converted = to_seven_bit(octets)
    assert b"Diagnostic-Code: smtp; 550 =?unknown-8bit?q?refus=E9?=\r\n--b--" in converted
    assert converted.startswith(MULTIPART) and b"dns; x\r\n\r\nFinal" in converted


def test_a_report_arrives_whatever_it_returns() -> None:
    """Mail that must not change is attached to it, octet for octet; other reports may not be."""
    signed = (
        b"Subject: x\r\nContent-Type: multipart/signed; boundary=s\r\n\r\n"
        b"--s\r\n\r\n\xe9\r\n--s\r\n\r\n\r\n--s--\r\n"
    )
    report = MULTIPART.replace(b"mixed", b"report") + b"\r\n--b\r\n\r\nsorry\r\n--b\r\n"
    report += b"Content-Type: message/rfc822\r\n\r\n" + signed + b"\r\n--b--\r\n"
    assert leaves(to_seven_bit(report))[1] == ("application/octet-stream", signed)
    with pytest.raises(CannotConvert):
        to_seven_bit(report.replace(b"report", b"mixed"))


def test_mail_in_utf8_within_mail_is_encoded_whole() -> None:
    """RFC 6532 section 3.7: message/global may be, and its addresses stay what they are."""
    inner = "To: é@x.example\r\n\r\né\r\n".encode()
    converted = to_seven_bit(
        MULTIPART + b"\r\n--b\r\nContent-Type: message/global\r\n\r\n" + inner + b"\r\n--b--\r\n"
    )
    assert base64.b64encode(inner) in converted and converted.isascii()


def test_text_of_no_type_is_said_to_be_what_it_can_be() -> None:
    """UTF-8 if it can be read so, else of no known character set (RFC 1428 section 3)."""
    for body, charset in (
        (b"\xc3\xa9", b"utf-8"),
        (b"\xe9", b"unknown-8bit"),
        (b"x" * 999, b"us-ascii"),
    ):
        converted = to_seven_bit(b"Subject: x\r\n\r\n" + body + b"\r\n")
        assert b"Content-Type: text/plain; charset=" + charset + b"\r\n" in converted


def test_a_broken_line_never_divides_parts() -> None:
    """Quoted-printable that would begin a line with the boundary gives way to base64."""
    body = b"x" * 75 + b"--b\r\n\xe9" + b"--b" * 400 + b"\r\n"
    octets = MULTIPART + b"\r\n--b\r\nContent-Type: text/plain\r\n\r\n" + body + b"\r\n--b--\r\n"
    converted = to_seven_bit(octets)
    assert converted.count(b"\r\n--b") == 2 and leaves(converted) == [("text/plain", body)]


WORDS = [b"\xe9", b"\xc3\xa9", b"a", b"=", b"\r\n", b"=3D", b"--b", b"\r\n--", b" ", b".", b"\t"]
LONG = [b"x" * 999, b"\xff" * 1500, b"word " * 300, "é".encode() * 600, b"=E9" * 400]
BODIES = st.one_of(st.lists(st.sampled_from(WORDS)).map(b"".join), st.sampled_from(LONG))
HEADS = st.lists(
    st.sampled_from(
        [
            "Content-Type: text/plain; charset=utf-8",
            "Content-Type: text/html",
            'Content-Type: application/x; name="Größe.pdf"',
            "Content-Description: Größe " + "und mehr " * 120,
            "Content-Transfer-Encoding: 7bit",
            "Content-Transfer-Encoding: 8bit",
            "Content-Transfer-Encoding: quoted-printable",
            "Content-Transfer-Encoding: utf-8",
            "X-Note: Grüße",
        ]
    ),
    unique_by=lambda line: line.partition(":")[0],
).map(lambda lines: "".join(line + "\r\n" for line in lines).encode())
LEAVES = st.tuples(HEADS, BODIES).map(lambda pair: pair[0] + b"\r\n" + pair[1])


def joined(parts: list[bytes], number: int) -> bytes:
    """A multipart of these."""
    line = b"\r\n--=_boundary%d" % number
    head = b"Content-Type: multipart/mixed; boundary==_boundary%d\r\n\r\n" % number
    return head + b"\xe9" + b"".join(line + b"\r\n" + part for part in parts) + line + b"--\r\n"


MAIL = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.tuples(st.lists(inner, min_size=1, max_size=3), st.integers(0, 10**9)).map(
            lambda pair: joined(*pair)
        ),
        inner.map(lambda octets: b"Content-Type: message/rfc822\r\n\r\n" + octets),
    ),
    max_leaves=5,
)


@given(
    MAIL, st.sampled_from([b"", b"MIME-Version: 1.0\r\n", b"Subject: Gr\xc3\xbc\xc3\x9fe \xff\r\n"])
)
@settings(deadline=None, max_examples=400)
def test_any_mail_is_sendable_and_says_the_same(octets: bytes, top: bytes) -> None:
    """7-bit lines of at most 998 octets, and in them what was there; the same again stays."""
    octets = top + octets
    before = [body for _, body in leaves(octets)]
    for tolerance in (Tolerance(), Tolerance(eight_bit=True), Tolerance(True, True)):
        try:
            converted = re_encoded(octets, tolerance)
        except CannotConvert as failed:
            assert "several types" in str(failed) or "no parts" in str(failed), failed
            return
        assert is_sendable(converted, tolerance.eight_bit)
        assert [body for _, body in leaves(converted)] == before
        assert re_encoded(converted, tolerance) == converted
        assert tolerance.unicode or header.split(converted)[0].isascii()
