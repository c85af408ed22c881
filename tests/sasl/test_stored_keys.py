"""What is kept of a password, what SASLprep makes of one, and what an exchange is bound to."""

from __future__ import annotations

import hashlib
from base64 import b64decode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailframe.sasl import StoredKeys, saslprep, server_end_point

SALT = b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
# The keys of the example in RFC 7677 section 3, as PostgreSQL writes them.
TEXT = (
    "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ=="
    "$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
    ":wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
)


def test_keys_are_written_as_postgresql_writes_them() -> None:
    """RFC 5803: SCRAM-SHA-256$ITERATIONS:SALT$STOREDKEY:SERVERKEY."""
    keys = StoredKeys.derive("pencil", SALT, 4096)
    assert keys.text == TEXT
    assert StoredKeys.parse(TEXT) == keys


def test_keys_tell_the_password_from_others() -> None:
    """A store that keeps nothing else can judge PLAIN and LOGIN, too."""
    keys = StoredKeys.parse(TEXT)
    assert keys.matches("pencil")
    assert not keys.matches("Pencil")
    assert not keys.matches("")
    assert not keys.matches("pencil\x07")


@pytest.mark.parametrize(
    "text",
    [
        "",
        TEXT + "\n",
        TEXT + ":",
        TEXT.replace("4096", "4095"),
        TEXT.replace("4096", "04096"),
        TEXT.replace("4096", "9999999"),
        TEXT.replace("4096", "٤٠٩٦"),
        TEXT.replace("W22Z", "W22"),
        TEXT.replace("W22Z", "W2!Z"),
        TEXT.replace("WG5d", ""),
        TEXT.replace("SHA-256", "SHA-1"),
        TEXT.replace("wfPL", "wfPé"),
    ],
)
def test_what_are_no_keys_is_refused_without_telling_them(text: str) -> None:
    """The error may be logged."""
    with pytest.raises(ValueError) as refused:
        StoredKeys.parse(text)
    assert "8oPm3OtcPnkdi4Uo7Bke" not in str(refused.value)


def test_keys_are_bounded() -> None:
    """No salt, a password that is none, iterations that protect nobody or never end."""
    for password, salt, iterations in [
        ("pencil", b"", 4096),
        ("pencil", b"s" * 256, 4096),
        ("pencil", b"salt", 4095),
        ("", b"salt", 4096),
        ("\u00ad", b"salt", 4096),
        ("pen\ncil", b"salt", 4096),
    ]:
        with pytest.raises(ValueError):
            StoredKeys.derive(password, salt, iterations)
    with pytest.raises(ValueError, match="iterations"):
        StoredKeys(b"salt", 1_000_001, bytes(32), bytes(32))
    with pytest.raises(ValueError, match="octets"):
        StoredKeys(b"salt", 4096, bytes(31), bytes(32))


def test_spellings_of_one_password_have_the_same_keys() -> None:
    """RFC 4013: two ways to type an ä, and a Roman numeral."""
    composed = StoredKeys.derive("p\u00e4ss \u2168", SALT, 4096)
    assert composed == StoredKeys.derive("pa\u0308ss\u00a0IX", SALT, 4096)


@pytest.mark.parametrize(
    ("text", "prepared"),
    [
        ("I\u00adX", "IX"),
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("\u1680a", " a"),
        ("\u0627\u0628", "\u0627\u0628"),
    ],
)
def test_the_examples_of_rfc_4013(text: str, prepared: str) -> None:
    """Section 3, and spaces as section 2.1 maps them."""
    assert saslprep(text, stored=True) == prepared


@pytest.mark.parametrize("text", ["\u0007", "\u06271", "a\u0627", "\ue000", "\ud800", "\ufffd"])
def test_what_saslprep_prohibits(text: str) -> None:
    """RFC 4013 sections 2.3 and 2.4: controls, private use, surrogates, mixed directions."""
    with pytest.raises(ValueError):
        saslprep(text, stored=False)


def test_what_unicode_did_not_know_is_for_queries_only() -> None:
    """RFC 5802: a name may hold it, a password may not."""
    assert saslprep("\U0001f511", stored=False) == "\U0001f511"
    with pytest.raises(ValueError, match="1F511"):
        saslprep("\U0001f511", stored=True)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=20))
def test_saslprep_raises_nothing_else(text: str) -> None:
    """It gives text or raises ValueError, and what is prepared stays as it is."""
    try:
        prepared = saslprep(text, stored=True)
    except ValueError:
        return
    assert saslprep(prepared, stored=True) == prepared


def test_the_end_point_is_the_hash_of_the_certificate() -> None:
    """RFC 5929 section 4.1: its own hash, SHA-256 in place of MD5 and SHA-1."""
    certificate = b"a certificate in DER"
    sha256 = hashlib.sha256(certificate).digest()
    assert server_end_point(certificate, "sha256") == sha256
    assert server_end_point(certificate, "sha1") == sha256
    assert server_end_point(certificate, "MD5") == sha256
    assert server_end_point(certificate, "sha384") == hashlib.sha384(certificate).digest()
    with pytest.raises(ValueError):
        server_end_point(certificate, "no hash")
