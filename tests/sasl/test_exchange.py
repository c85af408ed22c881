"""An exchange takes turns, keeps secrets, and survives anything that a client says."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sasl_kit import ALICE, Authority, began, client_terms, heard, server_terms

from mailframe.sasl import (
    MECHANISMS,
    Challenge,
    Credentials,
    Identity,
    KeysFound,
    PasswordWanted,
    Reason,
    Refusal,
    StoredKeys,
    Success,
    TokenRefused,
    TokenWanted,
    attempt,
    begin,
)

FRAGMENTS = st.sampled_from(
    [
        b"n,,",
        b"y,,",
        b"p=tls-exporter,,",
        b"n,a=alice,",
        b"n=alice,",
        b"m=x,",
        b"r=abc",
        b",r=abcWlpaWlpaWlpaWlpaWlpaWlpa",
        b",s=MDEyMzQ1Njc4OWFiY2RlZg==",
        b",i=4096",
        b"c=biws",
        b",p=" + b"A" * 43 + b"=",
        b"v=" + b"A" * 43 + b"=",
        b"e=invalid-proof",
        b"user=alice",
        b"auth=Bearer t0k-en==",
        b"auth=Bearer x",
        b"port=99999",
        b"\x01",
        b"\x01\x01",
        b"\0",
        b"alice",
        b"pencil",
        b"\xff",
        b"",
    ]
)
GARBAGE = st.one_of(
    st.binary(max_size=80), st.lists(FRAGMENTS, max_size=8).map(lambda parts: b"".join(parts))
)
NAMES = st.sampled_from(sorted(MECHANISMS))
COMMON = settings(max_examples=300, deadline=None)


@COMMON
@given(NAMES, st.one_of(st.none(), GARBAGE), st.lists(GARBAGE, min_size=4, max_size=4))
@example("SCRAM-SHA-256", b"n,,n=" + b"=2C" * 400 + b",r=a", [b""] * 4)
@example("PLAIN", b"a" * 20_000, [b""] * 4)
def test_garbage_never_raises(name: str, initial: bytes | None, responses: list[bytes]) -> None:
    """Whatever a client says, each step is a value, and the exchange comes to an end."""
    exchange = began(name)
    step = heard(exchange, initial)
    for response in responses:
        if not isinstance(step, Challenge):
            break
        step = heard(exchange, response)
    assert isinstance(step, Success | Refusal)


@COMMON
@given(NAMES, st.booleans(), st.lists(GARBAGE, max_size=4))
def test_garbage_from_a_server_never_raises(
    name: str, initial: bool, challenges: list[bytes]
) -> None:
    """Whatever a server says, the client has an answer or breaks off; SCRAM is not fooled."""
    credentials = Credentials("alice", "pencil", "t0k-en==", certificate=True)
    client = attempt(name, credentials, client_terms())
    if initial:
        client.initial()
    for challenge in challenges:
        assert isinstance(client.step(challenge), bytes | Refusal)
        assert not (client.finished and name.startswith("SCRAM"))


@pytest.mark.parametrize("name", sorted(MECHANISMS))
def test_what_is_too_long_is_malformed(name: str) -> None:
    """A response has 12288 octets at most."""
    step = began(name).step(b"a" * 12289)
    assert isinstance(step, Refusal)
    assert step.reason is Reason.MALFORMED


def test_a_challenge_that_is_too_long_is_the_end() -> None:
    """The same for what a server says, and nothing is said after it."""
    client = attempt("XOAUTH2", Credentials("alice", token="x"), client_terms())
    client.initial()
    assert isinstance(client.step(b"{" * 12289), Refusal)
    assert isinstance(client.step(b"{}"), Refusal)


def test_each_waits_for_its_turn() -> None:
    """A response while a question is open, or after the end, is a mistake of the caller's."""
    exchange = began("PLAIN")
    with pytest.raises(RuntimeError):
        exchange.answered(None)
    exchange.step(None)
    with pytest.raises(RuntimeError):
        exchange.step(None)
    exchange.step(b"\0alice\0pencil")
    with pytest.raises(RuntimeError):
        exchange.step(b"again")
    exchange.answered(None)
    with pytest.raises(RuntimeError):
        exchange.step(b"")
    with pytest.raises(RuntimeError):
        exchange.answered(Identity("alice"))


@pytest.mark.parametrize(
    ("name", "response", "answer"),
    [
        ("PLAIN", b"\0alice\0pencil", KeysFound(Identity("alice"), ALICE)),
        ("PLAIN", b"\0alice\0pencil", TokenRefused()),
        ("EXTERNAL", b"", TokenRefused()),
        ("SCRAM-SHA-256", b"n,,n=alice,r=abc", Identity("alice")),
        ("XOAUTH2", b"user=a\x01auth=Bearer x\x01\x01", KeysFound(Identity("alice"), ALICE)),
    ],
)
def test_an_answer_to_another_question_lets_nobody_in(
    name: str, response: bytes, answer: Identity | KeysFound | TokenRefused
) -> None:
    """The caller's mistake is raised, and the exchange is over."""
    exchange = began(name)
    exchange.step(response)
    with pytest.raises(TypeError):
        exchange.answered(answer)
    with pytest.raises(RuntimeError):
        exchange.answered(Identity("alice"))


def test_secrets_are_not_shown() -> None:
    """What is logged by accident tells no password, token or key."""
    keys = StoredKeys.derive("pencil", b"salt", 4096)
    shown = repr(
        [
            PasswordWanted("alice", "pencil"),
            TokenWanted("XOAUTH2", "t0ken"),
            Credentials("alice", "pencil", "t0ken"),
            KeysFound(Identity("alice"), keys),
            server_terms(secret=b"pencil of the host"),
        ]
    )
    assert "pencil" not in shown
    assert "t0ken" not in shown
    assert repr(keys.stored_key) not in shown


def test_names_are_refused_that_were_not_offered() -> None:
    """Only what was announced to this client can be begun."""
    assert begin("PLAIN", server_terms(offered=("LOGIN",))) is None
    assert begin("CRAM-MD5", server_terms(offered=("CRAM-MD5",))) is None
    assert heard(began("login"), b"alice", Authority()) == Challenge(b"Password:")


def test_terms_are_checked() -> None:
    """A secret that can be guessed and a binding that nobody knows are refused at once."""
    with pytest.raises(ValueError, match="16 octets"):
        server_terms(secret=b"short")
    with pytest.raises(ValueError, match="tls-nonsense"):
        server_terms(bindings={"tls-nonsense": b"x"})
    with pytest.raises(ValueError, match="tls-nonsense"):
        client_terms(bindings={"tls-nonsense": b"x"})
