"""Raw octets in header fields, in ASCII: Python's email package reads what was meant."""

from __future__ import annotations

from email import message_from_bytes, message_from_string, policy
from email.header import decode_header
from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailframe.mime import header
from mailframe.mime.ascii_fields import ascii_value
from mailframe.mime.encoded_words import encode
from mailframe.mime.entity_checks import NeedsUnicode
from mailframe.names.domains import to_ascii


def spelled(line: bytes) -> bytes:
    """The whole field in ASCII."""
    [field] = header.read(line)
    return field.name + b":" + ascii_value(field, to_ascii)


def read_back(octets: bytes) -> EmailMessage:
    """What Python's email package makes of a header section."""
    message = message_from_bytes(octets + b"\r\n", policy=policy.SMTP)
    assert isinstance(message, EmailMessage) and not message.defects
    return message


@pytest.mark.parametrize(
    "line",
    [
        "Subject: Grüße aus Köln",
        "Subject:Grüße",
        "Subject: plain Grüße, plain und (später) noch\r\n mehr Grüße\r\n\tauf drei Zeilen",
        "Subject: =?utf-8?q?encoded?= Grüße =?utf-8?q?encoded?= plain",
        "Subject: " + "Я помню чудное мгновенье " * 30,
        "Subject: " + "ü" * 500,
        "X-Note: a=b?c_d é",
        "Comments: tab\tbetween\té \té",
        "Keywords: été, hiver",
    ],
)
def test_text_is_read_the_same(line: str) -> None:
    """RFC 2047: blanks between two encoded words mean nothing, so they are within one."""
    octets = spelled(line.encode() + b"\r\n")
    assert octets.isascii() and all(len(row) <= 998 for row in octets.split(b"\r\n"))
    name, _, value = line.partition(":")
    meant = value.replace("\r\n", "").strip()
    meant = meant.replace("=?utf-8?q?encoded?=", "encoded").replace("\t", " ")
    assert read_back(octets)[name].replace("\t", " ") == meant


@pytest.mark.parametrize(
    "line",
    [
        "From: Jürgen Müller <j@client.example>",
        'From: "Müller, Jürgen" <j@client.example>, Ann <a@client.example>',
        'To: "M\\"ü" <j@client.example>, Renée Été <r@x.example>,\r\n é <e@x.example>',
        "Cc: j@client.example, Gruppe Köln: a@x.example, Jörg <b@x.example>;",
        "Reply-To: =?utf-8?q?Ann?= Jörg <b@x.example>",
        "Sender: Jürgen@home <j@client.example>",
        "To:Jörg<b@x.example>",
    ],
)
def test_addresses_are_read_the_same(line: str) -> None:
    """Names are encoded, addresses stay."""
    octets = spelled(line.encode() + b"\r\n")
    assert octets.isascii()
    meant = message_from_string(line + "\r\n\r\n", policy=policy.SMTPUTF8)
    name = line.partition(":")[0]
    # Python keeps blanks between the encoded words of a name, which RFC 2047 drops.
    shown = [
        (" ".join(one.display_name.split()), one.addr_spec)
        for one in read_back(octets)[name].addresses
    ]
    expected = [(one.display_name, one.addr_spec) for one in meant[name].addresses]
    if "@home" not in line:  # which Python reads as two
        assert shown == expected
    assert shown[-1][1].endswith(".example")


def test_comments_and_domains() -> None:
    """A comment keeps its brackets; a domain has A-labels (RFC 5890)."""
    octets = spelled("To: j@x.example (Jürgen (der \\) Große) und so)\r\n".encode())
    assert octets.startswith(b"To: j@x.example (=?utf-8?") and octets.count(b"(") == 2
    assert b"\\)" in octets and octets.endswith(b"und so)\r\n")
    octets = spelled("To: <r@bücher.example>, j@bücher.example\r\n".encode())
    assert octets == b"To: <r@xn--bcher-kva.example>, j@xn--bcher-kva.example\r\n"
    octets = spelled("Received: from é.example (Jürgen é@x) by x; now\r\n".encode())
    assert octets.isascii() and octets.endswith(b") by x; now\r\n")


@pytest.mark.parametrize(
    "line",
    [
        b"To: <j\xc3\xbcrgen@x.example>\r\n",
        b"From: Ann <a@x.example>, j\xc3\xbcrgen@x.example\r\n",
        b'Cc: "j\xc3\xbc"@x.example\r\n',
        b"Cc: <a@\xff.example>\r\n",
        b"Cc: <\xc3\xbc>\r\n",
    ],
)
def test_addresses_that_only_smtputf8_carries(line: bytes) -> None:
    """RFC 6532: there is no other spelling that can be answered."""
    with pytest.raises(NeedsUnicode):
        spelled(line)


@pytest.mark.parametrize(
    ("value", "filename"),
    [
        ('attachment; filename="Größe \\"x\\".pdf"; size=7', 'Größe "x".pdf'),
        ("attachment; filename=Größe und mehr.pdf", "Größe und mehr.pdf"),
        ("attachment;\r\n filename*=utf-8''Gr%C3%B6ße.pdf", "Größe.pdf"),
        ('attachment; filename*0="Grö"; filename*1="ße.pdf"', "Größe.pdf"),
        ('attachment; filename="' + "ж" * 400 + '"', "ж" * 400),
        ('attachment; size="é"; filename="plain name.pdf"', "plain name.pdf"),
    ],
)
def test_file_names_are_read_the_same(value: str, filename: str) -> None:
    """RFC 2231, in several pieces if they are long."""
    octets = spelled(f"Content-Disposition: {value}\r\n".encode())
    assert octets.isascii() and all(len(row) <= 998 for row in octets.split(b"\r\n"))
    assert read_back(octets).get_filename() == filename
    assert read_back(octets).get_content_disposition() == "attachment"


def test_what_is_no_type_is_text() -> None:
    """Nothing in it can be kept for programs; people still see it."""
    octets = spelled("Content-Type: Text über alles; é=1\r\n".encode())
    assert octets.isascii() and octets.startswith(b"Content-Type: ")
    octets = spelled("Content-Type: text/plain; é=1\r\n".encode())
    assert octets.isascii() and octets.startswith(b"Content-Type: text/plain; =?utf-8?")


def test_octets_of_no_known_character_set_are_said_to_be_so() -> None:
    """RFC 1428 section 3: readers get the very octets."""
    octets = spelled(b"Subject: caf\xe9 au lait\r\n")
    assert octets == b"Subject: =?unknown-8bit?q?caf=E9?= au lait\r\n"
    assert spelled(b'Content-Type: a/b; name="\xe9"\r\n') == (
        b"Content-Type: a/b;\r\n\tname*=unknown-8bit''%E9\r\n"
    )


@given(st.text(min_size=1, max_size=200), st.binary(min_size=1, max_size=200))
@settings(deadline=None, max_examples=200)
def test_encoded_words_are_short_and_keep_all(text: str, octets: bytes) -> None:
    """RFC 2047 sections 2 and 5: 75 octets at most, each with whole characters."""
    for raw in (text.encode("utf-8", "surrogatepass"), octets):
        words = encode(raw).split(b"\r\n ")
        assert all(len(word) <= 75 and word.isascii() for word in words)
        decoded = b""
        for word in words:
            section = b"Subject: " + word + b"\r\n"
            read = message_from_bytes(section)["Subject"]
            [(piece, charset)] = decode_header(read)
            assert charset in ("utf-8", "unknown-8bit")
            decoded += piece
            if charset == "utf-8":
                piece.decode()
        assert decoded == raw


RAW = st.lists(
    st.sampled_from(
        ['"', "<", ">", "(", ")", ",", ":", ";", "@", "é", "a", " ", "\r\n ", "\\", "=?utf-8?q?a?="]
    ),
    max_size=40,
).map("".join)


@given(st.sampled_from(["Subject", "From", "To", "Content-Type", "Received"]), RAW)
@settings(deadline=None, max_examples=500)
def test_any_field_becomes_one_field_of_ascii(name: str, value: str) -> None:
    """Or is refused for its addresses; nothing can break out of it."""
    line = f"{name}: x{value}\r\n".encode()
    try:
        octets = spelled(line)
    except NeedsUnicode:
        return
    assert octets.isascii() and len(list(header.read(octets))) == 1
    assert octets.endswith(b"\r\n")
