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

    What the protocol's `transport` is sent waits for the client, who is not read from while more
    than `unread_replies` octets wait, and is dropped if none of them go for `data_timeout`.
    A producer can be registered with it as with any of Twisted's transports.
    """

    client = Attribute("""The Client: address, listener, TLS, session; `user` once it logged in.""")
    limits = Attribute("""The listener's Limits (mailframe.settings).""")
    can_start_tls = Attribute("""True if `start_tls` may be called: offered here, and not begun.""")
    patience = Attribute(
        """Seconds without an octet either way after which the client has been silent for too long.

        To be set: a protocol that waits for its client longer than `command_timeout` says how
        long (an IMAP client in IDLE may be silent for 30 minutes), one that makes it wait says
        None until it has answered."""
    )

    def start_tls() -> None:
        """Begin TLS once what was written is out; the protocol's `secured()` is called in it.

        Whatever the client sent in the clear and the protocol still holds must be forgotten
        (RFC 3207 section 4.2 and its kin), and who it said it is; `client.user` is None then.
        ValueError if `can_start_tls` is False.
        """

    def mechanisms() -> tuple[str, ...]:
        """The SASL mechanisms that this client can use now, the strongest first."""

    def login(mechanism: str, success_data: bool = False) -> Any:
        """An exchange by that mechanism, None if it is not on offer.

        `await login.step(response)` gives what follows the client's response (octets, or None
        if it began without one): a Challenge, whose octets are to be sent, or the end, which is
        a Success, a Refusal (both of `mailframe.sasl`) or a fault, for which `reply(454, "4.7.0")`
        has words. A Refusal with Reason.LATER says that too many logins have failed before:
        nothing was looked at. `success_data` says that the protocol carries octets with its
        success.
        """

    def authenticate(name: str, password: str) -> Eventual[Any]:
        """The user's name, or the Reply of SMTP that says why not; for commands such as LOGIN.

        A temporary one says that a plugin failed, or that too many logins have failed before;
        538 that the password came in the clear, and was not looked at. A refusal takes a second
        or more, so that its time tells nothing.
        """

    def failed(failure: Any = None) -> None:
        """Log a fault that came to light later, and end the connection: `addErrback(failed)`.

        What the protocol raises where the host calls it need not be caught. Without a `failure`
        it is the exception that is being handled.
        """

    def tell(verdict: str, **facts: object) -> None:
        """Tell observers, at the stage "session"."""


class IServedProtocol(Interface):
    """A protocol that `[[listen]] protocol = "NAME"` can name.

    The plugin is built in every worker. What fails in it closes that connection and is logged;
    nothing else is harmed. It may have a method `refusal(why) -> bytes`: what a client reads that
    is not let in, `why` being "too many" or "stopping"; without it the connection is closed.
    """

    protocol = Attribute("""NAME: the word that `protocol` of a `[[listen]]` has.""")

    def session(connection: IServedConnection) -> Any:
        """A Twisted Protocol for one client (`IProtocol`): it is made at once, and greets.

        It may have more methods, all of them without arguments: `secured()`, TLS has begun;
        `stop()`, the host is stopping: finish what is under way, say farewell and lose the
        connection, which is closed in any case once `stop_timeout` is over; `timed_out()`, say
        why, as the client has been silent for longer than `patience` and the connection is
        closed next. Without `stop` it is closed at once.
        """
