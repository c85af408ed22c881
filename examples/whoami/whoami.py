"""A protocol with one question, "who am I?", which shows how a plugin adds a protocol.

C: WHOAMI              S: 192.0.2.7, in the clear
C: STARTTLS            S: + begin TLS
C: LOGIN bob secret    S: + bob
C: WHOAMI              S: bob at 192.0.2.7, in TLSv1.3
C: QUIT                S: + bye
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import ensureDeferred
from twisted.protocols.basic import LineReceiver
from zope.interface import implementer

from mailframe.eventual import settled
from mailframe.interfaces import IServedConnection, IServedProtocol
from mailframe.plugin import Site


@implementer(IServedProtocol)
class Whoami:
    """`[[serve]] plugin = "whoami:Whoami"`, and `protocol = "whoami"` in a `[[listen]]`."""

    protocol = "whoami"

    def __init__(self, settings: dict[str, Any], site: Site) -> None:
        self.hostname = site.hostname

    def session(self, connection: IServedConnection) -> Session:
        """The dialogue with one client."""
        return Session(self.hostname, connection)

    def refusal(self, why: str) -> bytes:
        """What a client reads if it is turned away."""
        return f"- {why}\r\n".encode()


class Session(LineReceiver):
    """Reads lines and answers each with one; the host looks after limits, TLS and stopping."""

    delimiter = b"\r\n"
    MAX_LENGTH = 512

    def __init__(self, hostname: str, connection: IServedConnection) -> None:
        self.hostname = hostname
        self.connection = connection

    def connectionMade(self) -> None:
        self.say(f"+ {self.hostname}, who are you?")

    def say(self, text: str) -> None:
        self.sendLine(text.encode("utf-8"))

    def lineReceived(self, line: bytes) -> None:
        verb, *words = line.decode("utf-8", "replace").split(" ")
        match verb.upper(), words:
            case "WHOAMI", []:
                self.say(self.who())
            case "STARTTLS", [] if self.connection.can_start_tls:
                self.say("+ begin TLS")
                self.clearLineBuffer()  # forget what came without TLS
                self.connection.start_tls()
            case "LOGIN", [name, password] if "PLAIN" in self.connection.mechanisms():
                ensureDeferred(self.log_in(name, password)).addErrback(self.connection.failed)
            case "QUIT", []:
                self.say("+ bye")
                self.transport.loseConnection()
            case _:
                self.say("- no")

    def who(self) -> str:
        client = self.connection.client
        security = f"in {client.tls.version}" if client.tls else "in the clear"
        return f"{client.user + ' at ' if client.user else ''}{client.address}, {security}"

    async def log_in(self, name: str, password: str) -> None:
        self.pauseProducing()  # the next command waits for this answer
        answer = await settled(self.connection.authenticate(name, password))
        self.say(f"+ {answer}" if isinstance(answer, str) else f"- {answer.text}")
        self.resumeProducing()

    def stop(self) -> None:
        """The host is stopping."""
        self.say("- closing")
        self.transport.loseConnection()

    timed_out = stop
