"""Each mechanism from offer to success; what is offered, and what a client chooses."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sasl_kit import Authority, began, client_terms, meet, server_terms

from mailframe.sasl import (
    MECHANISMS,
    Ability,
    Credentials,
    PasswordWanted,
    Reason,
    Refusal,
    Success,
    attempt,
    choose,
    offerable,
)

EVERYTHING = Credentials("alice", "pencil", "t0k-en==", certificate=True)
NAMES = list(MECHANISMS)


@pytest.mark.parametrize("initial", [True, False])
@pytest.mark.parametrize("data", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_who_knows_the_secret_is_let_in(name: str, data: bool, initial: bool) -> None:
    """With an initial response or without, with data in the success or before it."""
    client = attempt(name.lower(), EVERYTHING, client_terms())
    assert client.mechanism == name
    met = meet(client, began(name, server_terms(success_data=data)), initial=initial)
    assert isinstance(met.outcome, Success)
    assert (met.outcome.user, met.outcome.authzid) == ("alice", "")
    assert met.client_finished


@pytest.mark.parametrize("name", [name for name in NAMES if name != "EXTERNAL"])
def test_who_does_not_know_it_is_not(name: str) -> None:
    """A wrong password, a wrong token."""
    client = attempt(name, Credentials("alice", "pen", "token"), client_terms())
    outcome = meet(client, began(name)).outcome
    assert isinstance(outcome, Refusal)
    assert outcome.reason is Reason.REFUSED


@settings(max_examples=100, deadline=None)
@given(st.text(min_size=1, max_size=40), st.text(min_size=1, max_size=40))
def test_plain_and_login_carry_any_name_and_password(name: str, password: str) -> None:
    """What can be sent arrives as it was; what cannot is not begun."""
    credentials = Credentials(name, password)
    sendable = "\0" not in name + password
    for mechanism in ("PLAIN", "LOGIN"):
        chosen = choose(credentials, client_terms(offered=(mechanism,)))
        assert chosen == (mechanism if sendable else None)
        if chosen:
            authority = Authority()
            meet(attempt(chosen, credentials, client_terms()), began(chosen), authority)
            assert authority.asked == [PasswordWanted(name, password)]


def test_a_server_that_asks_what_plain_does_not_is_left() -> None:
    """A challenge before the initial response is empty, and none comes after it."""
    client = attempt("PLAIN", EVERYTHING, client_terms())
    assert isinstance(client.step(b"Password:"), Refusal)
    assert isinstance(client.step(b""), Refusal)
    assert not client.finished
    client = attempt("PLAIN", EVERYTHING, client_terms())
    assert client.initial() == b"\0alice\0pencil"
    assert isinstance(client.step(b""), Refusal)
    assert not client.finished


def test_login_is_finished_after_the_password_only() -> None:
    """A success before that is another's."""
    client = attempt("LOGIN", EVERYTHING, client_terms())
    assert client.initial() is None
    assert not client.finished
    assert client.step(b"Username:") == b"alice"
    assert not client.finished
    assert client.step(b"anything") == b"pencil"
    assert client.finished
    assert isinstance(client.step(b"Again:"), Refusal)


def test_external_says_for_whom_it_acts() -> None:
    """Mostly for whoever the certificate names."""
    assert attempt("EXTERNAL", EVERYTHING, client_terms()).initial() == b""
    credentials = Credentials("alice", certificate=True, authzid="bob")
    assert attempt("EXTERNAL", credentials, client_terms()).initial() == b"bob"


def test_the_offer_is_what_can_be_done() -> None:
    """Strongest first; nothing that would send a secret in the clear."""
    able = set(Ability)
    assert offerable(able) == tuple(NAMES)
    assert offerable(()) == ()
    passwords = {Ability.PASSWORDS}
    assert offerable(passwords) == ()
    assert offerable(passwords | {Ability.PRIVACY}) == ("PLAIN", "LOGIN")
    assert offerable({Ability.KEYS}) == ("SCRAM-SHA-256",)
    assert offerable({Ability.KEYS, Ability.BINDING}) == ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256")
    assert offerable({Ability.TOKENS, Ability.PRIVACY}) == ("OAUTHBEARER", "XOAUTH2")
    assert offerable({Ability.CERTIFICATES, Ability.PRIVACY}) == ()
    assert offerable({Ability.CERTIFICATES, Ability.CERTIFICATE}) == ("EXTERNAL",)


def test_more_abilities_never_take_an_offer_away() -> None:
    """And each mechanism is what it says of itself."""
    for count in range(len(Ability)):
        for able in combinations(Ability, count):
            offered = set(offerable(able))
            assert all(offered <= set(offerable((*able, more))) for more in Ability)
    for mechanism in MECHANISMS.values():
        assert mechanism.reveals_secret == (Ability.PRIVACY in mechanism.connection)
    assert [name for name in NAMES if MECHANISMS[name].needs_tls] == NAMES[:2]


@pytest.mark.parametrize(
    ("changed", "credentials", "chosen"),
    [
        ({}, EVERYTHING, "EXTERNAL"),
        ({}, Credentials("alice", "pencil", "token"), "SCRAM-SHA-256-PLUS"),
        ({"bindings": {}}, Credentials("alice", "pencil", "token"), "SCRAM-SHA-256"),
        ({}, Credentials("alice", token="token"), "OAUTHBEARER"),
        ({"offered": ("xoauth2", "plain")}, Credentials("alice", "p", "token"), "XOAUTH2"),
        ({"offered": ("plain", "login")}, Credentials("alice", "pencil"), "PLAIN"),
        ({"offered": ("login",)}, Credentials("alice", "pencil"), "LOGIN"),
        ({"offered": ("CRAM-MD5",)}, Credentials("alice", "pencil"), None),
        ({"private": False, "bindings": {}}, Credentials("a", "p"), "SCRAM-SHA-256"),
        ({"private": False, "offered": ("PLAIN", "LOGIN")}, Credentials("a", "p"), None),
        ({"private": False}, Credentials("alice", token="token"), None),
        ({}, Credentials("alice"), None),
        ({}, Credentials("alice", "\U0001f511"), "PLAIN"),
        ({}, Credentials("a\u0627", "pencil"), "PLAIN"),
        ({}, Credentials("alice", "pen\0cil"), None),
        ({"offered": ("LOGIN",)}, Credentials("alice", "pencil", authzid="bob"), None),
        ({}, Credentials("alice", token="to\x01ken"), None),
        ({}, Credentials("a\x01b", token="token"), None),
        ({}, Credentials("alice", token="token", host="büro"), None),
        ({}, Credentials("alice", "pencil", authzid="\0"), None),
        ({}, Credentials("\ud800", "pencil"), None),
    ],
)
def test_the_client_chooses_the_strongest_that_it_can(
    changed: dict[str, Any], credentials: Credentials, chosen: str | None
) -> None:
    """No password in the clear, none that SASLprep prohibits by SCRAM, no text that breaks out."""
    terms = client_terms(**changed)
    assert choose(credentials, terms) == chosen
    if chosen is not None:
        assert attempt(chosen, credentials, terms).mechanism == chosen


def test_no_attempt_is_made_that_would_tell_a_secret() -> None:
    """Whoever does not ask `choose` is held back, too."""
    with pytest.raises(ValueError, match="reads along"):
        attempt("PLAIN", EVERYTHING, client_terms(private=False))
    with pytest.raises(ValueError, match="no exchange"):
        attempt("CRAM-MD5", EVERYTHING, client_terms())
    with pytest.raises(ValueError, match="no exchange"):
        attempt("SCRAM-SHA-256-PLUS", EVERYTHING, client_terms(bindings={}))
