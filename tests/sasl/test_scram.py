"""SCRAM-SHA-256 and its -PLUS, against RFC 5802 and RFC 7677."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable

import pytest
from sasl_kit import ALICE, BINDINGS, Authority, began, client_terms, heard, meet, server_terms

from mailframe.sasl import (
    Challenge,
    Credentials,
    Identity,
    KeysFound,
    KeysWanted,
    Reason,
    Refusal,
    Step,
    StoredKeys,
    Success,
    attempt,
)
from mailframe.sasl.scram_message import auth_message, read_client_final, read_server_final

SCRAM = "SCRAM-SHA-256"
PLUS = "SCRAM-SHA-256-PLUS"
# RFC 7677 section 3.
CLIENT_FIRST = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
SERVER_FIRST = (
    b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
)
CLIENT_FINAL = (
    b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
    b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
)
SERVER_FINAL = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
PENCIL = StoredKeys.derive("pencil", b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096)


def refused(step: Step | bytes, detail: str = "") -> Reason:
    assert isinstance(step, Refusal)
    assert detail in step.detail
    return step.reason


def challenge(step: Step) -> bytes:
    assert isinstance(step, Challenge)
    return step.octets


def alice(password: str = "pencil", name: str = "alice") -> Credentials:
    return Credentials(name, password)


def test_the_client_of_rfc_7677() -> None:
    """Section 3, octet by octet."""
    terms = client_terms(random=lambda count: b64decode("rOprNGfwEbeRWgbNEkqO"), bindings={})
    client = attempt(SCRAM, Credentials("user", "pencil"), terms)
    assert client.initial() == CLIENT_FIRST
    assert client.step(SERVER_FIRST) == CLIENT_FINAL
    assert not client.finished
    assert client.step(SERVER_FINAL) == b""
    assert client.finished


def test_the_proofs_of_rfc_7677() -> None:
    """The server of section 3 believes this proof and gives this signature."""
    final = read_client_final(CLIENT_FINAL)
    assert final is not None
    signed = auth_message(CLIENT_FIRST[3:], SERVER_FIRST, final.bare)
    assert PENCIL.proves(signed, final.proof)
    assert not PENCIL.proves(signed + b"x", final.proof)
    assert PENCIL.signature(signed) == read_server_final(SERVER_FINAL)


def test_the_server_asks_for_keys_and_challenges() -> None:
    """Its nonce is the client's and 24 characters more."""
    exchange = began(SCRAM)
    assert exchange.step(None) == Challenge(b"")
    assert exchange.step(CLIENT_FIRST) == KeysWanted("user", SCRAM)
    said = challenge(exchange.answered(KeysFound(Identity("user"), PENCIL)))
    nonce = b"rOprNGfwEbeRWgbNEkqO" + b64encode(b"\x5a" * 18)
    assert said == b"r=%b,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096" % nonce


def test_the_server_proves_itself_in_a_challenge_of_its_own() -> None:
    """RFC 4954 section 4: SMTP has no data with success, so the client answers with nothing."""
    met = meet(attempt(SCRAM, alice(), client_terms(bindings={})), began(SCRAM))
    assert met.outcome == Success("alice")
    assert met.client_finished
    assert [each[:2] for each in met.said] == [b"n,", b"c=", b""]


def test_the_server_proves_itself_with_the_success() -> None:
    """A protocol that can carry the data is given them."""
    server = began(SCRAM, server_terms(success_data=True))
    met = meet(attempt(SCRAM, alice(), client_terms(bindings={})), server)
    assert isinstance(met.outcome, Success)
    assert (met.outcome.data or b"").startswith(b"v=")
    assert met.client_finished
    assert len(met.said) == 2


def test_a_success_before_the_servers_proof_is_none() -> None:
    """Whoever does not know the keys can still say 235."""
    client = attempt(SCRAM, alice(), client_terms(bindings={}))
    client.initial()
    assert not client.finished
    client.step(b"r=" + b64encode(b"\x5a" * 18) + b"more,s=c2FsdA==,i=4096")
    assert not client.finished


def test_a_server_without_the_keys_is_found_out() -> None:
    """A wrong signature, an error and garbage are no proof; nothing is said after them."""
    for said in (b"v=" + b64encode(bytes(32)), b"e=invalid-proof", b"", SERVER_FINAL):
        client = attempt(SCRAM, alice(), client_terms(bindings={}))
        client.initial()
        client.step(b"r=" + b64encode(b"\x5a" * 18) + b"more,s=c2FsdA==,i=4096")
        assert refused(client.step(said)) is Reason.REFUSED
        assert not client.finished
        assert refused(client.step(SERVER_FINAL)) is Reason.MALFORMED


NONCE = b64encode(b"\x5a" * 18)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"e=other-error",
        b"r=another,s=c2FsdA==,i=4096",
        b"r=%b,s=c2FsdA==,i=4096" % NONCE,
        b"r=%bx,s=c2FsdA==,i=4095" % NONCE,
        b"r=%bx,s=c2FsdA==,i=1000001" % NONCE,
        b"r=%bx,s=c2FsdA==,i=04096" % NONCE,
        b"r=%bx,s=c2FsdA=,i=4096" % NONCE,
        b"r=%bx,s=,i=4096" % NONCE,
        b"m=x,r=%bx,s=c2FsdA==,i=4096" % NONCE,
        b"r=%bx,s=c2FsdA==,i=4096,m=x" % NONCE,
        b"r=%bx,s=c2FsdA==,i=4096," % NONCE + b"x=" + b"y" * 4096,
    ],
)
def test_the_client_breaks_off_at_a_bad_challenge(said: bytes) -> None:
    """Another's nonce, too few iterations, too many, syntax, an extension that is mandatory."""
    client = attempt(SCRAM, alice(), client_terms(bindings={}))
    client.initial()
    assert refused(client.step(said))


def test_extensions_that_are_not_mandatory_are_passed_over() -> None:
    """RFC 5802 section 5.1."""
    exchange = began(SCRAM)
    heard(exchange, b"n,,n=alice,r=abc,x=y,z=1=2")
    client = attempt(SCRAM, alice(), client_terms(bindings={}))
    client.initial()
    assert isinstance(client.step(b"r=%bx,s=c2FsdA==,i=4096,x=y" % NONCE), bytes)


@pytest.mark.parametrize("name", ["a=b,c", "jörg", "\U0001f511", "=2C"])
def test_any_name_arrives(name: str) -> None:
    """RFC 5802 section 5.1: "=" and "," are escaped."""
    authority = Authority()
    meet(attempt(SCRAM, alice(name=name), client_terms()), began(SCRAM), authority)
    assert authority.asked == [KeysWanted(name, SCRAM)]


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"n=alice,r=abc",
        b"n,n=alice,r=abc",
        b"n,,n=alice",
        b"n,,n=,r=abc",
        b"n,,n=alice,r=",
        b"n,,n=alice,r=a\x7fc",
        b"n,,n=alice,r=a c",
        b"n,,n=al=ice,r=abc",
        b"n,,n=al=2cice,r=abc",
        b"n,,n=alice,r=abc,",
        b"n,,n=alice,r=abc,x",
        b"n,,n=alice,r=abc,m=x",
        b"n,,m=x,n=alice,r=abc",
        b"n,,n=al\0ice,r=abc",
        b"n,,n=al\xffice,r=abc",
        b"n,,n=al\x07ice,r=abc",
        b"n,,n=\xc2\xad,r=abc",
        b"n,a=,n=alice,r=abc",
        b"n,alice,n=alice,r=abc",
        b"x,,n=alice,r=abc",
        b"p,,n=alice,r=abc",
        b"p=,,n=alice,r=abc",
        b"n,,n=alice,r=abc\n",
        b"n,,n=" + b"a" * 256 + b",r=abc",
        b"n,,n=alice,r=" + b"a" * 513,
        b"n,,n=alice,r=abc,x=" + b"y" * 4096,
    ],
)
def test_no_first_message(said: bytes) -> None:
    """RFC 5802 section 7; nobody is asked about it."""
    for mechanism in (SCRAM, PLUS):
        assert refused(began(mechanism).step(said)) is Reason.MALFORMED


@pytest.mark.parametrize(
    "change",
    [
        lambda said: b"",
        lambda said: said[2:],
        lambda said: said.rpartition(b",p=")[0],
        lambda said: said + b",x=y",
        lambda said: said + b"=",
        lambda said: said[:-1],
        lambda said: said.replace(b",p=", b",m=x,p="),
        lambda said: said[:-8] + b"=",
        lambda said: said + b"\n",
    ],
)
def test_no_final_message(change: Callable[[bytes], bytes]) -> None:
    """The same for the second; a proof has 32 octets and one spelling."""
    client = attempt(SCRAM, alice(), client_terms(bindings={}))
    met = meet(client, began(SCRAM), spoilt={1: change})
    assert isinstance(met.outcome, Refusal)
    assert met.outcome.reason is Reason.MALFORMED


def _flipped(place: int, bit: int) -> Callable[[bytes], bytes]:
    return lambda said: said[:place] + bytes([said[place] ^ bit]) + said[place + 1 :]


@pytest.mark.parametrize("bit", [1, 2, 4, 32])
def test_any_wrong_octet_of_the_proof_fails(bit: int) -> None:
    """Each octet of the client's second message counts."""
    whole = meet(attempt(SCRAM, alice(), client_terms(bindings={})), began(SCRAM)).said[1]
    for place in range(len(whole)):
        client = attempt(SCRAM, alice(), client_terms(bindings={}))
        met = meet(client, began(SCRAM), spoilt={1: _flipped(place, bit)})
        assert isinstance(met.outcome, Refusal), (place, bit)


def test_any_wrong_octet_of_the_beginning_fails() -> None:
    """The first message is signed as well."""
    whole = meet(attempt(PLUS, alice(), client_terms()), began(PLUS)).said[0]
    for place in range(len(whole)):
        client = attempt(PLUS, alice(), client_terms())
        met = meet(client, began(PLUS), spoilt={0: _flipped(place, 1)})
        assert isinstance(met.outcome, Refusal), place


def test_any_wrong_octet_of_the_server_fails() -> None:
    """What the server says is signed by both, and its signature is looked at whole."""
    server = began(PLUS)
    whole = challenge(heard(server, attempt(PLUS, alice(), client_terms()).initial()))
    for place in range(len(whole)):
        client, server = attempt(PLUS, alice(), client_terms()), began(PLUS)
        heard(server, client.initial())
        response = client.step(_flipped(place, 1)(whole))
        assert isinstance(response, Refusal) or isinstance(heard(server, response), Refusal), place
    for place in range(46):
        client, server = attempt(PLUS, alice(), client_terms()), began(PLUS)
        response = client.step(challenge(heard(server, client.initial())))
        assert isinstance(response, bytes)
        assert refused(client.step(_flipped(place, 1)(challenge(heard(server, response)))))


def test_the_clients_answer_to_the_proof_is_empty() -> None:
    """RFC 4954 section 4: anything else is malformed, however right the password was."""
    client = attempt(SCRAM, alice(), client_terms(bindings={}))
    met = meet(client, began(SCRAM), spoilt={2: lambda said: b"x"})
    assert isinstance(met.outcome, Refusal)


def test_a_proof_for_another_nonce_is_refused() -> None:
    """What was overheard yesterday is of no use today."""
    overheard = meet(attempt(SCRAM, alice(), client_terms(bindings={})), began(SCRAM)).said
    exchange = began(SCRAM, server_terms(random=lambda count: b"\x01" * count))
    heard(exchange, overheard[0])
    assert refused(heard(exchange, overheard[1]), "nonce") is Reason.REFUSED


def test_unknown_users_cannot_be_told_from_known_ones() -> None:
    """The same salt each time, in any case, of the usual form; then the usual refusal."""
    made_up = []
    for name in (b"mallory", b"mallory", b"MALLORY", b"trudy"):
        said = challenge(heard(began(SCRAM), b"n,,n=%b,r=abc" % name))
        made_up.append(said)
    known = challenge(heard(began(SCRAM), b"n,,n=alice,r=abc"))
    assert made_up[0] == made_up[1] == made_up[2] != made_up[3]
    assert len(made_up[0]) == len(made_up[3]) == len(known)
    elsewhere = began(SCRAM, server_terms(secret=b"another host's secret"))
    assert challenge(heard(elsewhere, b"n,,n=mallory,r=abc")) != made_up[0]
    wrong = meet(attempt(SCRAM, alice("pen"), client_terms()), began(SCRAM)).outcome
    nobody = meet(attempt(SCRAM, alice(name="mallory"), client_terms()), began(SCRAM)).outcome
    assert wrong == nobody
    assert isinstance(wrong, Refusal)


def test_nobody_acts_for_another_unless_the_authority_says_so() -> None:
    """The authorization identity is asked about together with the keys."""
    credentials = Credentials("alice", "pencil", authzid="a=b,c")
    authority = Authority()
    met = meet(attempt(SCRAM, credentials, client_terms()), began(SCRAM), authority)
    assert isinstance(met.outcome, Refusal)
    assert authority.asked == [KeysWanted("alice", SCRAM, "a=b,c")]
    met = meet(attempt(SCRAM, credentials, client_terms()), began(SCRAM), Authority("abc"))
    assert met.outcome == Success("alice", "abc")
    oneself = Credentials("alice", "pencil", authzid="alice")
    met = meet(attempt(SCRAM, oneself, client_terms()), began(SCRAM))
    assert met.outcome == Success("alice")


@pytest.mark.parametrize("kind", sorted(BINDINGS))
def test_plus_is_bound_to_the_connection(kind: str) -> None:
    """RFC 5802 section 6, RFC 9266, RFC 5929: either binding, if both see the same octets."""
    client = attempt(PLUS, alice(), client_terms(bindings={kind: BINDINGS[kind]}))
    met = meet(client, began(PLUS))
    assert met.outcome == Success("alice")
    assert met.said[0].startswith(b"p=" + kind.encode() + b",,")


def test_the_stronger_binding_is_taken() -> None:
    """tls-exporter, if there is one."""
    met = meet(attempt(PLUS, alice(), client_terms()), began(PLUS))
    assert met.said[0].startswith(b"p=tls-exporter,,")


def test_another_connection_is_not_let_in() -> None:
    """A man in the middle has two connections, whose bindings differ."""
    client = attempt(PLUS, alice(), client_terms(bindings={"tls-exporter": b"\x07" * 32}))
    outcome = meet(client, began(PLUS)).outcome
    assert outcome == Refusal(Reason.REFUSED, "channel-bindings-dont-match")


def test_a_binding_that_the_server_lacks_is_refused() -> None:
    """Nobody is asked for keys."""
    server = began(PLUS, server_terms(bindings={}))
    assert refused(server.step(b"p=tls-exporter,,n=alice,r=abc"), "type") is Reason.REFUSED
    assert refused(began(PLUS).step(b"p=tls-unique,,n=alice,r=abc"), "type") is Reason.REFUSED


def test_plus_without_a_binding_is_refused() -> None:
    """RFC 5802 section 6: -PLUS wants "p"."""
    for flag in (b"n", b"y"):
        assert refused(began(PLUS).step(flag + b",,n=alice,r=abc")) is Reason.REFUSED
    assert refused(began(SCRAM).step(b"p=tls-exporter,,n=alice,r=abc")) is Reason.REFUSED


def test_who_took_the_offer_of_plus_away_is_found_out() -> None:
    """RFC 5802 section 6: "y" says that no -PLUS was seen, and there was one."""
    client = attempt(SCRAM, alice(), client_terms(offered=(SCRAM,)))
    outcome = meet(client, began(SCRAM)).outcome
    assert outcome == Refusal(Reason.REFUSED, "server-does-support-channel-binding")
    honest = attempt(SCRAM, alice(), client_terms(offered=(SCRAM,)))
    server = began(SCRAM, server_terms(offered=(SCRAM,)))
    met = meet(honest, server)
    assert met.outcome == Success("alice")
    assert met.said[0].startswith(b"y,,")


def test_the_flag_cannot_be_changed_on_the_way() -> None:
    """It is signed: who makes a "y" into an "n" is found out later."""
    client = attempt(SCRAM, alice(), client_terms(offered=(SCRAM,)))
    met = meet(client, began(SCRAM), spoilt={0: lambda said: b"n" + said[1:]})
    assert isinstance(met.outcome, Refusal)


def test_a_name_is_looked_up_as_saslprep_spells_it() -> None:
    """RFC 5802 section 5.1."""
    exchange = began(SCRAM)
    asked = exchange.step("n,,n=a\u00adlice\u00a0\u2168,r=abc".encode())
    assert asked == KeysWanted("alice IX", SCRAM)


def test_keys_may_come_late() -> None:
    """Between question and answer nothing is held but the exchange."""
    exchange = began(SCRAM)
    assert exchange.step(b"n,,n=alice,r=abc") == KeysWanted("alice", SCRAM)
    assert isinstance(exchange.answered(KeysFound(Identity("Alice"), ALICE)), Challenge)
