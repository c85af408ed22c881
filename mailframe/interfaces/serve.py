"""`[[serve]]`: a protocol of its own for a listener."""

from __future__ import annotations

from typing import Any

from zope.interface import Attribute, Interface

from ..eventual import Eventual


class IServedConnection(Interface):
    """What the host gives a protocol for one client: the connection is the host's, the talk is not.

    The client is counted and let in, its PROXY header read, and in TLS if the listener says
    "implicit", before the protocol hears of it. Time limits, the end of the host, reload and
    several workers are the host's as well.
    """

    client = Attribute("""The Client: address, listener, TLS, session; `user` once it logged in.""")
    limits = Attribute("""The listener's Limits (mailframe.settings).""")
    can_start_tls = Attribute("""True if `start_tls` may be called: offered here, and not begun.""")

    def start_tls() -> None:
        """Begin TLS once what was written is out; the protocol's `secured()` is called in it.

        Whatever the client sent in the clear and the protocol still holds must be forgotten
        (RFC 3207 section 4.2 and its kin). ValueError if `can_start_tls` is False.
        """

    def mechanisms() -> tuple[str, ...]:
        """The SASL mechanisms that this client can use now, the strongest first."""

    def login(mechanism: str, success_data: bool = False) -> Any:
        """A `mailframe.hooks.Login` by that mechanism, None if it is not on offer.

        `success_data` says that the protocol carries octets with its success.
        """

    def authenticate(name: str, password: str) -> Eventual[Any]:
        """The user's name, or the Reply of SMTP that says why not; for commands such as LOGIN.

        Asked only where `mechanisms()` holds "PLAIN": else the password is in the clear.
        """

    def tell(verdict: str, **facts: object) -> None:
        """Tell observers, at the stage "session"."""


class IServedProtocol(Interface):
    """A protocol that `[[listen]] protocol = "NAME"` can name.

    The plugin is built in every worker. What fails in it closes that connection and is logged;
    nothing else is harmed.
    """

    protocol = Attribute("""NAME: the word that `protocol` of a `[[listen]]` has.""")

    def session(connection: IServedConnection) -> Any:
        """A Twisted Protocol for one client (`IProtocol`): it is made at once, and greets.

        It may have more methods, all of them without arguments: `secured()`, TLS has begun;
        `stop()`, say farewell and lose the connection, as the host is stopping; `timed_out()`,
        the same for a client that is silent for longer than `command_timeout`. Without them the
        connection is simply closed.
        """
