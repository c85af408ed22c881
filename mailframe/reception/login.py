"""AUTH in SMTP (RFC 4954): the steps of a login as replies."""

from __future__ import annotations

from base64 import b64encode

from ..hooks import Channel, Fault, Login, Logins
from ..message import Client
from ..sasl import Challenge, Reason, Success
from ..smtp.command import Auth
from ..smtp.refusals import AUTH_NOT_OFFERED, UNKNOWN_MECHANISM
from ..smtp.reply import AUTH_FAILED, AUTH_LATER, AUTH_NEEDS_TLS, BAD_SEQUENCE, Reply

MALFORMED = Reply(501, "Malformed authentication response", "5.5.2")

_REFUSALS = {
    Reason.MALFORMED: MALFORMED,
    Reason.REFUSED: AUTH_FAILED,
    Reason.LATER: AUTH_LATER,
}


class SmtpLogin:
    """The conversation from AUTH to 235; each step gives the user's name, or a reply to send."""

    __slots__ = ("_channel", "_client", "_login", "_logins")

    def __init__(self, logins: Logins, client: Client, channel: Channel) -> None:
        self._logins = logins
        self._client = client
        self._channel = channel
        self._login: Login | None = None

    async def begin(self, command: Auth) -> str | Reply:
        """AUTH itself, with or without its initial response."""
        self._login = self._logins.begin(command.mechanism, self._client, self._channel)
        if self._login is None:
            return UNKNOWN_MECHANISM
        return await self.step(command.initial)

    async def step(self, response: bytes | None) -> str | Reply:
        """The client's answer to the last challenge."""
        if self._login is None:
            return BAD_SEQUENCE
        step = await self._login.step(response)
        if isinstance(step, Challenge):
            return Reply(334, b64encode(step.octets).decode("ascii"))
        self._login = None
        if isinstance(step, Success):
            # A client that may act for another user has that user's rights (RFC 4422 section 2).
            return step.authzid or step.user
        if isinstance(step, Fault):
            return step.reply(454, "4.7.0")
        return _REFUSALS[step.reason]

    def hurry(self) -> None:
        """The answer is not needed any more."""
        if self._login is not None:
            self._login.hurry()


def auth_refusal(reply: Reply, logins: Logins, client: Client) -> Reply:
    """`reply`, unless AUTH is not offered: then it says if TLS would help (RFC 4954 section 6)."""
    if reply is not AUTH_NOT_OFFERED:
        return reply
    if client.tls is None and logins.offer(client.listener, Channel(private=True)):
        return AUTH_NEEDS_TLS
    return AUTH_NOT_OFFERED
