"""`[[serve]]`: another protocol than SMTP or LMTP for a listener."""

from __future__ import annotations

from typing import Any

from zope.interface import Attribute, Interface

from ..eventual import Eventual


class IServedConnection(Interface):
    """What the host gives a protocol for one client. The host looks after the connection itself.

    Before the protocol is made, the client has been counted and admitted, its PROXY header has been
    read, and TLS has begun if the listener's is "implicit". The host also takes care of time
    limits, its own stop, reload and several workers.

    Octets that the protocol writes to its `transport` wait for the client. While more than
    `unread_replies` octets wait, nothing is read from the client. If none of them can be sent for
    `data_timeout`, the connection is dropped. A producer can be registered as with any of Twisted's
    transports.
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
        """Begin TLS once everything written has been sent; then `secured()` is called.

        The protocol must forget what the client sent in the clear and what it said about itself
        (RFC 3207 section 4.2 and similar rules); `client.user` becomes None. ValueError if
        `can_start_tls` is False.
        """

    def mechanisms() -> tuple[str, ...]:
        """The SASL mechanisms that this client can use now, the strongest first."""

    def login(mechanism: str, success_data: bool = False) -> Any:
        """An exchange by that mechanism, None if it is not on offer.

        `await login.step(response)` takes the client's response: octets, or None if it began
        without one. It gives a Challenge, whose octets have to be sent, or the end: a Success, a
        Refusal (both of `mailframe.sasl`) or a fault, whose `reply(454, "4.7.0")` can be sent. A
        Refusal with Reason.LATER means that too many logins have failed before, and that the
        credentials were not checked. `success_data` is True if the protocol can send octets along
        with its success.
        """

    def authenticate(name: str, password: str) -> Eventual[Any]:
        """The user's name, or a refusal as a Reply of SMTP; for commands such as LOGIN.

        A temporary Reply means that a plugin failed, or that too many logins have failed before.
        538 means that the password came in the clear, and was not checked. A refusal takes a second
        or more, so that its time reveals nothing.
        """

    def failed(failure: Any = None) -> None:
        """Log a fault and end the connection, for use as `addErrback(failed)`.

        Exceptions that the protocol raises when the host calls it need not be caught. Without a
        `failure`, the exception that is being handled is logged.
        """

    def tell(verdict: str, **facts: object) -> None:
        """Tell observers, at the stage "session"."""


class IServedProtocol(Interface):
    """A protocol that `[[listen]] protocol = "NAME"` can name.

    The plugin is built in every worker. A fault is logged and closes only the connection in which
    it happened. The plugin may have a method `refusal(why) -> bytes`, which gives the octets for a
    client that is not admitted; `why` is "too many" or "stopping". Without it the connection is
    just closed.
    """

    protocol = Attribute("""NAME: the word that `protocol` of a `[[listen]]` has.""")

    def session(connection: IServedConnection) -> Any:
        """A Twisted Protocol for one client (`IProtocol`). It is made at once, and greets.

        It may have these methods, all without arguments. `secured()` is called when TLS has begun.
        `stop()` is called when the host stops: finish what has begun, say goodbye and lose the
        connection, which is closed in any case after `stop_timeout`; without this method it is
        closed at once. `timed_out()` is called when the client has been silent for longer than
        `patience`: tell it why, as the connection is closed next.
        """
