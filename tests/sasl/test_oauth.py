"""OAUTHBEARER (RFC 7628) and XOAUTH2."""

from __future__ import annotations

import json
from base64 import b64decode

import pytest
from sasl_kit import Authority, began, client_terms, heard, meet, server_terms

from mailframe.sasl import (
    Challenge,
    Credentials,
    Identity,
    Reason,
    Refusal,
    Step,
    Success,
    TokenRefused,
    TokenWanted,
    attempt,
)

# RFC 7628 section 4.1 and its elder sister in Google's description of XOAUTH2.
BEARER = (
    b"n,a=user@example.com,\x01host=server.example.com\x01port=143\x01"
    b"auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01"
)
XOAUTH2 = b64decode(
    "dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRj"
    "Mk52YjNSbGNrQmhkSFJoZG1semRHRXVZMjl0Q2cBAQ=="
)
GOOD = b"n,a=alice,\x01auth=Bearer t0k-en==\x01\x01"


def reason(step: Step) -> Reason:
    assert isinstance(step, Refusal)
    return step.reason


def told(step: Step) -> object:
    assert isinstance(step, Challenge)
    return json.loads(step.octets)


def test_the_example_of_rfc_7628() -> None:
    """Section 4.1: the user, the server as the client sees it, and the token."""
    asked = began("OAUTHBEARER").step(BEARER)
    token = "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="
    assert asked == TokenWanted("OAUTHBEARER", token, "user@example.com", "server.example.com", 143)


def test_the_example_in_base64_of_rfc_7628() -> None:
    """Section 4.2, as SMTP carries it."""
    said = b64decode(
        "bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9NTg3AWF1"
        "dGg9QmVhcmVyIHZGOWRmdDRxbVRjMk52YjNSbGNrQmhkSFJoZG1semRHRXVZMjl0Q2c9PQEB"
    )
    asked = began("OAUTHBEARER").step(said)
    assert isinstance(asked, TokenWanted)
    assert (asked.name, asked.port) == ("user@example.com", 587)


def test_the_client_of_rfc_7628() -> None:
    """Section 4.1, octet by octet."""
    credentials = Credentials(
        "user@example.com",
        token="vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==",
        host="server.example.com",
        port=143,
    )
    client = attempt("OAUTHBEARER", credentials, client_terms())
    assert client.initial() == BEARER
    assert client.finished


def test_the_example_of_xoauth2() -> None:
    """Google's: both sides."""
    token = "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg"
    asked = began("XOAUTH2").step(XOAUTH2)
    assert asked == TokenWanted("XOAUTH2", token, "someuser@example.com")
    client = attempt("XOAUTH2", Credentials("someuser@example.com", token=token), client_terms())
    assert client.initial() == XOAUTH2


def test_a_refused_token_is_explained_before_it_fails() -> None:
    """RFC 7628 section 3.2.3: JSON, then ^A, then the failure."""
    exchange = began("OAUTHBEARER")
    exchange.step(BEARER)
    url = "https://example.com/.well-known/openid-configuration"
    step = exchange.answered(TokenRefused("invalid_token", "example_scope", url))
    assert told(step) == {
        "status": "invalid_token",
        "scope": "example_scope",
        "openid-configuration": url,
    }
    assert reason(exchange.step(b"\x01")) is Reason.REFUSED


def test_xoauth2_explains_in_numbers() -> None:
    """As Google does."""
    exchange = began("XOAUTH2")
    exchange.step(XOAUTH2)
    step = exchange.answered(TokenRefused("insufficient_scope", "https://mail.example/"))
    assert told(step) == {"status": "403", "schemes": "bearer", "scope": "https://mail.example/"}
    assert reason(exchange.step(b"")) is Reason.REFUSED
    assert told(heard(began("XOAUTH2"), XOAUTH2)) == {"status": "401", "schemes": "bearer"}


@pytest.mark.parametrize("auth", [b"", b"Bearer", b"Bearer ", b"Basic abc", b"Bearer a b", b"x"])
def test_without_a_token_the_client_is_told_what_is_wanted(auth: bytes) -> None:
    """RFC 7628 section 4.3: it finds out where to get one; nobody is asked about it."""
    terms = server_terms(no_token=TokenRefused(scope="mail"))
    exchange = began("OAUTHBEARER", terms)
    step = exchange.step(b"n,,\x01auth=" + auth + b"\x01\x01")
    assert told(step) == {"status": "invalid_token", "scope": "mail"}
    assert reason(exchange.step(b"\x01")) is Reason.REFUSED


def test_no_pairs_at_all_ask_the_same() -> None:
    """The grammar allows it."""
    assert told(began("OAUTHBEARER").step(b"n,,\x01\x01")) == {"status": "invalid_token"}


@pytest.mark.parametrize("answer", [b"", b"\x01", b"anything", GOOD])
def test_nothing_mends_a_refused_token(answer: bytes) -> None:
    """Whatever comes after the explanation, the exchange has failed."""
    exchange = began("OAUTHBEARER")
    heard(exchange, b"n,a=alice,\x01auth=Bearer wrong\x01\x01")
    assert reason(exchange.step(answer)) is Reason.REFUSED


def test_a_token_is_good_for_its_user_only() -> None:
    """A name that is not the user's letter by letter needs the authority's word."""
    exchange = began("OAUTHBEARER")
    exchange.step(GOOD)
    assert exchange.answered(Identity("alice")) == Success("alice")
    exchange = began("OAUTHBEARER")
    exchange.step(GOOD)
    assert isinstance(exchange.answered(Identity("bob")), Challenge)
    assert reason(exchange.step(b"\x01")) is Reason.REFUSED
    exchange = began("OAUTHBEARER")
    exchange.step(GOOD.replace(b"alice", b"ALICE"))
    assert exchange.answered(Identity("alice", "alice")) == Success("alice")
    exchange = began("XOAUTH2")
    exchange.step(b"user=shared\x01auth=Bearer x\x01\x01")
    assert exchange.answered(Identity("alice", "shared")) == Success("alice", "shared")


def test_a_client_need_not_say_who_it_is() -> None:
    """The token does."""
    exchange = began("OAUTHBEARER")
    assert exchange.step(b"y,,\x01auth=bearer x\x01\x01") == TokenWanted("OAUTHBEARER", "x")
    assert exchange.answered(Identity("alice")) == Success("alice")


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"n,,",
        b"n,,\x01",
        b"n,a=alice\x01auth=Bearer x\x01\x01",
        b"n,,auth=Bearer x\x01\x01",
        b"n,,\x01auth=Bearer x\x01",
        b"n,,\x01auth=Bearer x",
        b"n,,\x01auth\x01\x01",
        b"n,,\x01=x\x01\x01",
        b"n,,\x01a1=x\x01\x01",
        b"n,,\x01\x01auth=Bearer x\x01\x01",
        b"n,,\x01auth=Bearer x\x01auth=Bearer y\x01\x01",
        b"n,,\x01auth=Bearer x\x01port=x\x01\x01",
        b"n,,\x01auth=Bearer x\x01port=65536\x01\x01",
        b"n,,\x01auth=Bearer x\x01port=\x01\x01",
        b"n,,\x01auth=Bearer x\x01host=a b\x01\x01",
        b"n,,\x01auth=Bearer x\x01host=\xff\x01\x01",
        b"n,,\x01auth=Bearer x\x01\x01\x01",
        b"n,a=\xff,\x01auth=Bearer x\x01\x01",
        b"n,a=" + b"a" * 256 + b",\x01auth=Bearer x\x01\x01",
        b"p=tls-exporter,,\x01auth=Bearer x\x01\x01",
        b"n,,\x01auth=Bearer x\0\x01\x01",
    ],
)
def test_no_message_of_oauthbearer(said: bytes) -> None:
    """RFC 7628 section 3.1; there is no channel binding."""
    assert reason(began("OAUTHBEARER").step(said)) is Reason.MALFORMED


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"user=alice",
        b"auth=Bearer x\x01\x01",
        b"user=\x01auth=Bearer x\x01\x01",
        b"user=a\xff\x01auth=Bearer x\x01\x01",
        b"user=" + b"a" * 256 + b"\x01auth=Bearer x\x01\x01",
        b"user=alice\x01auth=Bearer x\x01",
        b"user=alice\x01user=bob\x01auth=Bearer x\x01\x01",
    ],
)
def test_no_message_of_xoauth2(said: bytes) -> None:
    """A user is always named."""
    assert reason(began("XOAUTH2").step(said)) is Reason.MALFORMED


@pytest.mark.parametrize(("name", "answer"), [("OAUTHBEARER", b"\x01"), ("XOAUTH2", b"")])
def test_the_client_answers_the_explanation_and_has_failed(name: str, answer: bytes) -> None:
    """It is not finished any more, whatever the server says then."""
    client = attempt(name, Credentials("alice", token="wrong"), client_terms())
    met = meet(client, began(name), Authority())
    assert met.outcome == Refusal(Reason.REFUSED, "the credentials are not good")
    assert met.said[1:] == [answer]
    assert not met.client_finished
    assert isinstance(client.step(b"{}"), Refusal)
