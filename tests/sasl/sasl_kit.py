"""A server that knows some users, and a client and a server that talk to each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mailframe.sasl import (
    MECHANISMS,
    Answer,
    CertificateWanted,
    Challenge,
    ClientExchange,
    ClientTerms,
    Exchange,
    Identity,
    KeysFound,
    KeysWanted,
    PasswordWanted,
    Question,
    Refusal,
    ServerTerms,
    Step,
    StoredKeys,
    Success,
    TokenWanted,
    begin,
)

BINDINGS = {"tls-exporter": b"\x01" * 32, "tls-server-end-point": b"\x02" * 32}
ALICE = StoredKeys.derive("pencil", b"0123456789abcdef", 4096)


def fixed(count: int) -> bytes:
    """Octets that are always the same."""
    return b"\x5a" * count


def server_terms(**changed: Any) -> ServerTerms:
    """A server that offers everything."""
    terms: dict[str, Any] = {
        "offered": tuple(MECHANISMS),
        "random": fixed,
        "secret": b"a secret of the host",
        "bindings": BINDINGS,
        "iterations": 4096,
    }
    return ServerTerms(**{**terms, **changed})


def client_terms(**changed: Any) -> ClientTerms:
    """A client of that server."""
    terms: dict[str, Any] = {
        "offered": tuple(MECHANISMS),
        "random": fixed,
        "private": True,
        "bindings": BINDINGS,
    }
    return ClientTerms(**{**terms, **changed})


@dataclass
class Authority:
    """Knows alice, her password, her token and her certificate; `acts_as` is whom she may be."""

    acts_as: str = ""
    asked: list[Question] = field(default_factory=list)

    def answer(self, question: Question) -> Answer:
        """What the host would say."""
        self.asked.append(question)
        alice = Identity("alice", self.acts_as)
        if isinstance(question, KeysWanted):
            return KeysFound(alice, ALICE) if question.name == "alice" else None
        known = {
            PasswordWanted: lambda said: (said.name, said.password) == ("alice", "pencil"),
            TokenWanted: lambda said: said.token == "t0k-en==",
            CertificateWanted: lambda said: True,
        }
        judge: Callable[[Any], bool] = known[type(question)]
        return alice if judge(question) else None


def began(name: str, terms: ServerTerms | None = None) -> Exchange:
    """A new exchange that is surely on offer."""
    exchange = begin(name, terms or server_terms())
    assert exchange is not None
    return exchange


def heard(exchange: Exchange, response: bytes | None, authority: Authority | None = None) -> Step:
    """What follows a response, once every question is answered."""
    authority = authority or Authority()
    step = exchange.step(response)
    while not isinstance(step, Challenge | Success | Refusal):
        step = exchange.answered(authority.answer(step))
    return step


@dataclass
class Meeting:
    """How a conversation went."""

    outcome: Success | Refusal  # the server's, or the client's if it broke off
    client_finished: bool
    said: list[bytes]  # by the client


def meet(
    client: ClientExchange,
    server: Exchange,
    authority: Authority | None = None,
    *,
    initial: bool = True,
    spoilt: Mapping[int, Callable[[bytes], bytes]] | None = None,
) -> Meeting:
    """Let them talk; `spoilt` changes the client's responses by their number."""
    authority = authority or Authority()
    said: list[bytes] = []
    response = client.initial() if initial else None
    while True:
        if response is not None:
            response = (spoilt or {}).get(len(said), bytes)(response)
            said.append(response)
        step = heard(server, response, authority)
        if isinstance(step, Success) and step.data is not None:
            last = client.step(step.data)
            return Meeting(last if isinstance(last, Refusal) else step, client.finished, said)
        if not isinstance(step, Challenge):
            assert isinstance(step, Success | Refusal)
            return Meeting(step, client.finished, said)
        answer = client.step(step.octets)
        if isinstance(answer, Refusal):
            return Meeting(answer, client.finished, said)
        response = answer
