"""PLAIN, LOGIN and EXTERNAL as a server speaks them."""

from __future__ import annotations

import pytest
from sasl_kit import Authority, began, heard

from mailframe.sasl import (
    CertificateWanted,
    Challenge,
    Identity,
    PasswordWanted,
    Reason,
    Refusal,
    Step,
    Success,
)


def reason(step: Step) -> Reason:
    assert isinstance(step, Refusal)
    return step.reason


def test_plain_takes_an_initial_response() -> None:
    """RFC 4616: NUL, name, NUL, password."""
    exchange = began("plain")
    assert exchange.step(b"\0alice\0pencil") == PasswordWanted("alice", "pencil")
    assert exchange.answered(Identity("alice")) == Success("alice")


def test_plain_without_an_initial_response_asks_with_an_empty_challenge() -> None:
    """RFC 4954 section 4: the client goes second."""
    exchange = began("PLAIN")
    assert exchange.step(None) == Challenge(b"")
    asked = exchange.step(b"alice\0alice\0p\xc3\xa4ss")
    assert asked == PasswordWanted("alice", "päss", "alice")


def test_the_examples_of_rfc_4616() -> None:
    """Section 4: tim, and Ursel who acts for Kurt."""
    assert began("PLAIN").step(b"\0tim\0tanstaaftanstaaf") == PasswordWanted(
        "tim", "tanstaaftanstaaf"
    )
    exchange = began("PLAIN")
    asked = exchange.step(b"Ursel\0Kurt\0xipj3plmq")
    assert asked == PasswordWanted("Kurt", "xipj3plmq", "Ursel")
    assert reason(exchange.answered(Identity("kurt"))) is Reason.REFUSED


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
        b"\xff\0alice\0secret",
        b"a" * 256 + b"\0alice\0secret",
        b"\0" + b"a" * 256 + b"\0secret",
        b"\0alice\0" + b"s" * 256,
    ],
)
def test_plain_refuses_what_is_malformed(response: bytes) -> None:
    """RFC 4616 section 2: two NULs, both parts there, 255 octets of UTF-8 each."""
    assert reason(began("PLAIN").step(response)) is Reason.MALFORMED


def test_nobody_acts_for_another_unless_the_authority_says_so() -> None:
    """The right password does not do for another's name."""
    said = b"Bob\0alice\0pencil"
    assert reason(heard(began("PLAIN"), said)) is Reason.REFUSED
    assert heard(began("PLAIN"), said, Authority(acts_as="bob")) == Success("alice", "bob")
    assert heard(began("PLAIN"), said, Authority(acts_as="alice")) == Success("alice")


def test_who_asks_to_act_for_oneself_does() -> None:
    """The name as it was typed and the user's own name are both oneself."""
    exchange = began("PLAIN")
    exchange.step(b"ALICE\0ALICE\0pencil")
    assert exchange.answered(Identity("alice")) == Success("alice")
    exchange = began("PLAIN")
    exchange.step(b"alice\0ALICE\0pencil")
    assert exchange.answered(Identity("alice")) == Success("alice")


def test_a_permission_that_was_not_asked_for_is_not_used() -> None:
    """Whoever may act for another but does not ask to is itself."""
    step = heard(began("PLAIN"), b"\0alice\0pencil", Authority(acts_as="bob"))
    assert step == Success("alice")


def test_a_wrong_password_is_refused() -> None:
    """None is no."""
    assert reason(heard(began("PLAIN"), b"\0alice\0pen")) is Reason.REFUSED
    login = began("LOGIN")
    heard(login, b"alice")
    assert reason(heard(login, b"pen")) is Reason.REFUSED


def test_login_asks_name_and_password() -> None:
    """Two questions, two answers."""
    exchange = began("LOGIN")
    assert exchange.step(None) == Challenge(b"Username:")
    assert exchange.step(b"alice") == Challenge(b"Password:")
    assert exchange.step(b"pencil") == PasswordWanted("alice", "pencil")
    assert exchange.answered(Identity("alice")) == Success("alice")


def test_login_takes_the_name_as_initial_response() -> None:
    """Some clients send the name with AUTH."""
    exchange = began("LOGIN")
    assert exchange.step(b"alice") == Challenge(b"Password:")
    assert heard(exchange, b"pencil") == Success("alice")


@pytest.mark.parametrize("response", [b"", b"a\0b", b"\xff", b"a" * 256])
def test_login_refuses_what_is_malformed(response: bytes) -> None:
    """The same rules as for PLAIN, for the name and for the password."""
    assert reason(began("LOGIN").step(response)) is Reason.MALFORMED
    exchange = began("LOGIN")
    exchange.step(b"alice")
    assert reason(exchange.step(response)) is Reason.MALFORMED


def test_external_asks_whose_the_certificate_is() -> None:
    """RFC 4422 appendix A: an empty response is whoever the certificate names."""
    exchange = began("EXTERNAL")
    assert exchange.step(None) == Challenge(b"")
    assert exchange.step(b"") == CertificateWanted("")
    assert exchange.answered(Identity("alice")) == Success("alice")
    assert began("EXTERNAL").step(b"fred@example.com") == CertificateWanted("fred@example.com")


def test_external_lets_nobody_act_for_another() -> None:
    """A certificate is good for the user that it names."""
    assert heard(began("EXTERNAL"), b"alice") == Success("alice")
    assert reason(heard(began("EXTERNAL"), b"bob")) is Reason.REFUSED
    assert heard(began("EXTERNAL"), b"bob", Authority(acts_as="bob")) == Success("alice", "bob")
    exchange = began("EXTERNAL")
    exchange.step(b"")
    assert reason(exchange.answered(None)) is Reason.REFUSED


@pytest.mark.parametrize("response", [b"a\0b", b"\xff", b"a" * 256])
def test_external_refuses_what_is_malformed(response: bytes) -> None:
    """A name is 255 octets of UTF-8 without NUL."""
    assert reason(began("EXTERNAL").step(response)) is Reason.MALFORMED
