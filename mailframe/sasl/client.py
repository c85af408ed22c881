"""One authentication exchange as the client sees it (RFC 4422 section 3)."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TypeAlias

from .step import MAX_RESPONSE, Reason, Refusal


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client can use to log in; None or False for what it does not have.

    `user` is its own name. `authzid` is the user that it wants to act for, "" for itself. `host`
    and `port` are the server; the server is told them together with the `token`, unless they are ""
    and None. `certificate` is True if the TLS connection shows one.
    """

    user: str
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    certificate: bool = False
    authzid: str = ""
    host: str = ""
    port: int | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """Octets for the server, not yet in base64.

    After the `last` response the client has nothing more to check; the server's success counts.
    """

    octets: bytes = field(repr=False)
    last: bool = False


# One mechanism's side of the conversation. It yields None first if the server speaks first.
ClientScript: TypeAlias = Generator[Response | None, bytes, Refusal | None]

UNEXPECTED = Refusal(Reason.MALFORMED, "the server asks what the mechanism does not")


class ClientExchange:
    """One conversation with a server; `mechanism` is its name in capitals.

    `finished` is True if a success from the server would be valid now. A success that comes earlier
    must be treated as a failure: the server has not proved what the mechanism wants it to prove.
    """

    __slots__ = ("_first", "_script", "finished", "mechanism")

    def __init__(self, mechanism: str, script: ClientScript) -> None:
        self.mechanism = mechanism
        self.finished = False
        self._script = script
        self._first = next(script)

    def initial(self) -> bytes | None:
        """The initial response, None if the server speaks first.

        Do not call this if the protocol cannot send one now (RFC 4954 section 4: the AUTH command
        has a maximal length). Then it becomes the response to the server's empty challenge.
        """
        first, self._first = self._first, None
        return None if first is None else self._say(first)

    def step(self, challenge: bytes) -> bytes | Refusal:
        """The response to the server's challenge, which may be any octets.

        Octets that come with a success are a challenge too; the response to them is always empty
        and is not sent. After a Refusal the client cancels the exchange (RFC 4954: "*").
        """
        self.finished = False
        if self._first is not None:
            # RFC 4422 section 3: if the mechanism has the client speak first, the challenge is
            # empty.
            first, self._first = self._first, None
            if not challenge:
                return self._say(first)
            self._script.close()
        if len(challenge) > MAX_RESPONSE:
            self._script.close()
        try:
            said = self._script.send(challenge)
        except StopIteration as end:
            refusal: Refusal | None = end.value
            return refusal or UNEXPECTED
        return UNEXPECTED if said is None else self._say(said)

    def _say(self, response: Response) -> bytes:
        self.finished = response.last
        return response.octets
