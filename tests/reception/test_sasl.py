"""PLAIN and LOGIN as state machines."""

import pytest
from twisted.cred.credentials import UsernamePassword

from mailframe.reception.sasl import MALFORMED, MECHANISMS, begin
from mailframe.smtp.reply import AUTH_FAILED


def credentials(step):
    assert isinstance(step, UsernamePassword)
    return step.username, step.password


def test_plain_takes_an_initial_response():
    """RFC 4616: NUL, name, NUL, password."""
    assert credentials(begin("PLAIN").step(b"\0alice\0secret")) == (b"alice", b"secret")


def test_plain_without_an_initial_response_asks_with_an_empty_challenge():
    """RFC 4954 section 4: the client goes second."""
    exchange = begin("plain")
    assert exchange.step(None) == b""
    assert credentials(exchange.step(b"alice\0alice\0p\xc3\xa4ss")) == (b"alice", b"p\xc3\xa4ss")


@pytest.mark.parametrize(
    "response",
    [
        b"",
        b"alice",
        b"\0alice",
        b"\0\0",
        b"\0alice\0",
        b"\0\0secret",
        b"\0alice\0sec\0ret",
        b"\0ali\xffce\0secret",
        b"\0alice\0secret\xff",
        b"\0" + b"a" * 256 + b"\0secret",
        b"\0alice\0" + b"s" * 256,
    ],
)
def test_plain_refuses_what_is_malformed(response):
    """RFC 4616 section 2: two NULs, both parts there, 255 octets of UTF-8 each."""
    assert begin("PLAIN").step(response) == MALFORMED


def test_plain_lets_nobody_act_for_another():
    """An authorization identity other than one's own is refused."""
    assert begin("PLAIN").step(b"bob\0alice\0secret") == AUTH_FAILED


def test_login_asks_name_and_password():
    """Two questions, two answers."""
    exchange = begin("LOGIN")
    assert exchange.step(None) == b"Username:"
    assert exchange.step(b"alice") == b"Password:"
    assert credentials(exchange.step(b"secret")) == (b"alice", b"secret")


def test_login_takes_the_name_as_initial_response():
    """Some clients send the name with AUTH."""
    exchange = begin("LOGIN")
    assert exchange.step(b"alice") == b"Password:"
    assert credentials(exchange.step(b"secret")) == (b"alice", b"secret")


@pytest.mark.parametrize("response", [b"", b"a\0b", b"\xff", b"a" * 256])
def test_login_refuses_what_is_malformed(response):
    """The same rules as for PLAIN."""
    assert begin("LOGIN").step(response) == MALFORMED


def test_unknown_mechanisms_are_unknown():
    """Only what is announced is spoken."""
    assert begin("CRAM-MD5") is None
    assert MECHANISMS == ("PLAIN", "LOGIN")
