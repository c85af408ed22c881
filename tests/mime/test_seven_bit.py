"""Messages for 7-bit servers: the same to who reads them, or not sent at all."""

from __future__ import annotations

from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailframe.mime import seven_bit
from mailframe.mime.entity_checks import CannotConvert, IsSigned, NeedsUnicode
from mailframe.mime.seven_bit import Tolerance, re_encoded, to_seven_bit, with_ascii_head

TEXT = "Grüße\r\n.\r\n  trailing \r\n=x\r\nFrom y\r\n"
HEAD = b"Subject: x\r\nMIME-Version: 1.0\r\n"


def text_message(
    body: bytes = TEXT.encode(),
    head: bytes = b"Content-Type: text/plain; charset=utf-8\r\n",
    encoding: bytes = b"8bit",
) -> bytes:
    """A message of one text."""
    return HEAD + head + b"Content-Transfer-Encoding: " + encoding + b"\r\n\r\n" + body


def multipart(*parts: bytes, kind: bytes = b"mixed", end: bytes = b"\r\n--=_b--\r\n") -> bytes:
    """A message of parts."""
    head = HEAD + b"Content-Type: multipart/" + kind + b';\r\n\tboundary="=_b"\r\n'
    head += b"Content-Transfer-Encoding: 8bit\r\nX-Folded: a\r\n  b\r\n\r\n"
    return head + b"preamble" + b"".join(b"\r\n--=_b\r\n" + part for part in parts) + end


def decoded(octets: bytes) -> list[bytes]:
    """The bodies that a reader sees."""
    message = message_from_bytes(octets, policy=policy.SMTP)
    assert isinstance(message, EmailMessage)
    return [
        part.get_payload(decode=True) or b"" for part in message.walk() if not part.is_multipart()
    ]


def is_sendable(octets: bytes, eight_bit: bool = False) -> bool:
    """Lines within the limit, of ASCII."""
    lines = octets.split(b"\r\n")
    return (eight_bit or octets.isascii()) and all(
        len(line) <= 998 and not set(line) & set(b"\r\n\0") for line in lines
    )


PART = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
ASCII_PART = b"X-Odd:   kept \r\n\tas it is\r\n\r\nplain\r\n"
BINARY_PART = (
    b"Content-Type: image/png\r\nContent-Transfer-Encoding: binary\r\n\r\n\x89PNG\r\n\0\n\r\xff"
)


def test_text_becomes_quoted_printable() -> None:
    """RFC 2045 section 6.7; the header but for the encoding stays, octet for octet."""
    result = to_seven_bit(text_message())
    assert is_sendable(result) and decoded(result) == [TEXT.encode()]
    assert result.startswith(HEAD + b"Content-Type: text/plain; charset=utf-8\r\n")
    assert result.count(b"Content-Transfer-Encoding") == 1
    assert b"Content-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=BC" in result


def test_binary_becomes_base64_and_the_rest_stays() -> None:
    """BINARYMIME (RFC 3030): only what must change does."""
    original = multipart(PART + TEXT.encode(), ASCII_PART, BINARY_PART)
    result = to_seven_bit(original)
    assert is_sendable(result)
    assert decoded(result) == [TEXT.encode(), b"plain\r\n", b"\x89PNG\r\n\0\n\r\xff"]
    assert ASCII_PART in result and b"X-Folded: a\r\n  b\r\n" in result
    assert result.split(b"\r\n\r\n")[0].count(b"Transfer-Encoding") == 0


def test_what_is_seven_bit_is_not_touched() -> None:
    """Octet for octet the same."""
    octets = multipart(ASCII_PART)
    assert to_seven_bit(octets) is octets


def test_text_without_mime_is_of_an_unknown_character_set() -> None:
    """RFC 1428 section 3."""
    result = to_seven_bit(b"Subject: x\r\n\r\n\xe9t\xe9\r\n")
    assert is_sendable(result) and decoded(result) == [b"\xe9t\xe9\r\n"]
    assert b"charset=unknown-8bit" in result and b"MIME-Version: 1.0\r\n" in result


def test_messages_within_messages() -> None:
    """message/rfc822 may not be encoded itself, but what is in it (RFC 2046 section 5.2.1)."""
    inner = (
        b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + text_message()
    )
    result = to_seven_bit(multipart(inner))
    assert is_sendable(result) and decoded(result) == [TEXT.encode()]
    headless = to_seven_bit(multipart(b"\r\n" + TEXT.encode()))
    assert decoded(headless) == [TEXT.encode()]


def test_lines_without_end() -> None:
    """A line of text longer than 998 octets is folded by the encoding."""
    result = to_seven_bit(text_message(b"x" * 5000 + b"\r\n", encoding=b"binary"))
    assert is_sendable(result) and decoded(result) == [b"x" * 5000 + b"\r\n"]


def test_text_without_any_line_end() -> None:
    """The lines that the encoding makes of it end with CRLF, too."""
    for body in (b"\xe9" * 5000, b"x" * 5000):
        result = to_seven_bit(text_message(body, encoding=b"binary"))
        assert is_sendable(result) and decoded(result) == [body]


SIGNED_PART = multipart(PART + TEXT.encode(), kind=b'signed; protocol="a/b"')


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        (SIGNED_PART, "signed"),
        (multipart(SIGNED_PART.replace(b"=_b", b"=_inner")), "signed"),
        ("To: é@x.example\r\n\r\nx\r\n".encode(), "not ASCII"),
        (multipart(PART + b"\xe9").replace(b'boundary="=_b"', b"x=y"), "no boundary"),
        (multipart(b"\xe9").replace(b"=_b", b"=_c", 1), "no parts"),
        (multipart(b"Content-Type: message/partial\r\n\r\n\xe9"), "message/partial"),
        (multipart(b"", PART + b"\xe9").replace(b"\r\n\r\n--=_b", b"\r\n--=_b"), "empty"),
        (
            multipart(
                b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n\xe9"
            ),
            "composite",
        ),
        (text_message(b"\xe9\r\n", encoding=b"uuencode"), "forbids"),
        (text_message(b"\xe9\r\n", encoding=b"x-what"), "forbids"),
        (multipart(PART + b"\xe9").replace(b"MIME", b"Content-Type: a/b\r\nMIME", 1), "types"),
        (text_message(head=b"Content-Transfer-Encoding: base64\r\n"), "encodings"),
        (b"no header\r\n\r\n\xe9\r\n", "broken"),
        (b"Subject: x\nY: z\r\n\r\n\xe9\r\n", "CRLF"),
        (b"Subject: \xe9", "does not end"),
    ],
)
def test_what_would_be_harmed_is_not_converted(octets: bytes, why: str) -> None:
    """Signatures break, broken MIME means nothing: a bounce tells the sender."""
    with pytest.raises(CannotConvert, match=why):
        to_seven_bit(octets)


def test_nesting_has_an_end() -> None:
    """A bomb of parts within parts is not followed down."""
    octets = text_message()
    for _ in range(40):
        octets = HEAD + b"Content-Type: message/rfc822\r\n\r\n" + octets
    with pytest.raises(CannotConvert, match="deeply"):
        to_seven_bit(octets)


def test_large_parts_within_large_parts_are_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each level holds all that is below it: thirty of 32 MB would be a gigabyte."""
    octets = text_message(b"\xe9\r\n" * 1000)
    for _ in range(5):
        octets = HEAD + b"Content-Type: message/rfc822\r\n\r\n" + octets
    assert is_sendable(to_seven_bit(octets))
    monkeypatch.setattr(seven_bit, "MAX_HELD", 3 * len(octets))
    with pytest.raises(CannotConvert, match="deeply"):
        to_seven_bit(octets)


def test_only_header_fields_change_where_bodies_may_stay() -> None:
    """8BITMIME without SMTPUTF8: fields of the message, of parts, of messages inside."""
    eight_bit = Tolerance(eight_bit=True)
    octets = multipart(PART + TEXT.encode())
    assert re_encoded(octets, eight_bit) == octets
    named = 'Content-Type: text/plain; name="é"\r\n\r\n'.encode()
    inner = b"Content-Type: message/rfc822\r\n\r\n" + "Subject: Jürgen\r\n\r\n".encode()
    result = re_encoded(multipart(named + b"\xe9", inner + b"\xe9"), eight_bit)
    assert b"name*=utf-8''%C3%A9\r\n\r\n\xe9\r\n" in result
    assert b"Subject: =?utf-8?q?J=C3=BCrgen?=\r\n\r\n\xe9\r\n" in result
    assert result.count(b"Content-Transfer-Encoding: 8bit") == 1
    # RFC 6532 section 3.7: it is what the type is for.
    octets = multipart(b"Content-Type: message/global\r\n\r\n" + "To: é@x\r\n\r\nx".encode())
    assert re_encoded(octets, eight_bit) == octets


def test_signed_parts_stay_while_the_header_above_them_changes() -> None:
    """RFC 1847 section 2.1: what is above the signed part is not covered."""
    signed = multipart(ASCII_PART, kind=b"signed")
    result = to_seven_bit("Comments: Jürgen\r\n".encode() + signed)
    assert result == b"Comments: =?utf-8?q?J=C3=BCrgen?=\r\n" + signed
    eight = Tolerance(eight_bit=True)
    assert re_encoded("Comments: Jürgen\r\n".encode() + SIGNED_PART, eight).endswith(SIGNED_PART)
    with pytest.raises(IsSigned):
        to_seven_bit(SIGNED_PART)
    with pytest.raises(IsSigned):
        long = SIGNED_PART.replace(b"preamble", b"x" * 999)
        re_encoded(long, Tolerance(eight_bit=True, unicode=True))


def test_a_header_alone_is_converted_if_the_rest_cannot_be() -> None:
    """Hosts read the header; parts that nobody can tell are for the readers."""
    octets = "Subject: Jürgen\r\nContent-Type: multipart/mixed\r\n\r\né".encode()
    result = with_ascii_head(octets, str)
    assert result == (
        "Subject: =?utf-8?q?J=C3=BCrgen?=\r\nContent-Type: multipart/mixed\r\n\r\né".encode()
    )
    with pytest.raises(NeedsUnicode):
        with_ascii_head("To: é@x\r\n\r\n".encode(), str)


@given(st.text(alphabet=st.sampled_from("aé=. \t\r\n-"), max_size=300))
@settings(deadline=None, max_examples=200)
def test_any_text_is_read_the_same_afterwards(text: str) -> None:
    """The body that the reader sees is the body that the sender wrote."""
    body = text.encode()
    result = to_seven_bit(text_message(body, encoding=b"binary"))
    assert is_sendable(result) and decoded(result) == [body]


@given(st.binary(max_size=300))
@settings(deadline=None, max_examples=200)
def test_any_octets_are_read_the_same_or_refused(octets: bytes) -> None:
    """Nothing but CannotConvert is ever raised."""
    try:
        assert is_sendable(to_seven_bit(octets))
    except CannotConvert:
        pass
    part = b"Content-Type: a/b\r\nContent-Transfer-Encoding: binary\r\n\r\n" + octets
    if b"=_b" not in octets:
        assert decoded(to_seven_bit(multipart(part)))[0] == octets


def test_a_long_line_of_the_header_is_folded() -> None:
    """RFC 5322 section 2.1.1: at white space, which changes nothing, or where it must be."""
    names = b", ".join(b"a%03d@example.org" % number for number in range(100))
    head = b"MIME-Version: 1.0\r\nTo: " + names + b"\r\nSubject: x\r\n"
    result = to_seven_bit(head + b"\r\n\xe9\r\n")
    assert is_sendable(result) and result.replace(b"\r\n ", b" ").startswith(head)
    result = to_seven_bit(b"X: " + b"x" * 1990 + b"\r\n\r\n")
    assert is_sendable(result) and result.replace(b"\r\n\t", b"").count(b"x") == 1990
    assert to_seven_bit(b"X: y" + b" " * 3000 + b"\r\n\r\n").count(b"\r\n") < 4
    with pytest.raises(CannotConvert, match="too long"):  # a boundary perhaps
        to_seven_bit(b"Content-Type: text/x; x=" + b"x" * 1000 + b"\r\n\r\n")


def test_the_body_begins_where_the_octets_have_it() -> None:
    """Lines like fields in the body are text, and the first empty line ends the header."""
    body = "From  : Jürgen\r\nDate  : today\r\n\r\nx\r\n".encode()
    octets = b"From  : a@b.example\r\nSubject: x\r\n\r\n" + body
    result = to_seven_bit(octets)
    assert result.startswith(b"From  : a@b.example\r\nSubject: x\r\nMIME-Version: 1.0\r\n")
    assert decoded(result) == [body]


def test_a_line_of_an_mbox_file_on_top_stays() -> None:
    """Mail that was copied out of one has it; lower down it may hide fields."""
    line = b"From alice Mon Nov 23 10:00:00 2026\r\n"
    result = to_seven_bit(line + text_message())
    assert result == line + to_seven_bit(text_message())
    with pytest.raises(CannotConvert, match="broken"):
        to_seven_bit(HEAD + line + b"\r\n\xe9\r\n")
    with pytest.raises(CannotConvert, match="broken"):
        to_seven_bit(b"From : a@b.example\r\nno field\r\n\r\n\xe9\r\n")


def test_a_comment_beside_the_encoding_is_none() -> None:
    """RFC 2045 section 6.1: comments stand wherever blanks may."""
    result = to_seven_bit(text_message(encoding=b"8bit (as it came)"))
    assert is_sendable(result) and decoded(result) == [TEXT.encode()]


@given(st.lists(st.sampled_from([HEAD, PART, b"--=_b", b"--=_b--", b"\r\n", b"\xe9", b"\n", b";"])))
@settings(deadline=None, max_examples=300)
def test_any_message_is_sendable_or_refused(pieces: list[bytes]) -> None:
    """Whatever is put together, what comes out is 7-bit lines."""
    octets = multipart(*pieces)
    for tolerance in (Tolerance(), Tolerance(True), Tolerance(True, True)):
        try:
            result = re_encoded(octets, tolerance)
            assert is_sendable(result, tolerance.eight_bit)
        except CannotConvert:
            pass
