"""AUTH as the client, with the strongest mechanism that both sides know (RFC 4954)."""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error
from collections.abc import Callable
from dataclasses import replace
from secrets import token_bytes
from typing import Any

from twisted.internet.defer import Deferred

from ..sasl import (
    MECHANISMS,
    Ability,
    ClientExchange,
    ClientTerms,
    Credentials,
    Refusal,
    attempt,
    choose,
)
from ..smtp.client import Replied, Spelled
from ..smtp.command import Auth
from ..smtp.event import AuthLine
from ..smtp.reply import Reply
from .connection import ServerConnection

InThread = Callable[..., Deferred[Any]]

MAX_AUTH = 512  # octets of AUTH with its initial response (RFC 4954 section 4)
_CANCEL = Spelled(AuthLine(b""), b"*\r\n")


class LoginFailed(Exception):
    """`reply` says why, in words for the sender. `spoken` is True if they are the host's own."""

    def __init__(self, reply: Reply, *, spoken: bool = False) -> None:
        super().__init__(str(reply))
        self.reply = reply
        self.spoken = spoken


async def log_in(
    connection: ServerConnection,
    credentials: Credentials,
    timeout: float,
    in_thread: InThread | None = None,
) -> None:
    """Log in to the server. Raises LoginFailed and Ended.

    The caller must make sure that a plain password may be sent. `timeout` is in seconds for each
    reply. The work of a SCRAM client, up to half a second, is done `in_thread` if that is given.
    """
    terms = ClientTerms(
        offered=connection.dialogue.extensions.mechanisms,
        random=token_bytes,
        private=True,
        bindings=connection.channel.bindings if connection.channel is not None else {},
    )
    exchange = _chosen(connection.name, credentials, terms)
    answer = await _began(connection, exchange, timeout)
    while answer.reply.code == 334:
        challenge = _decoded(answer.reply.text)
        if challenge is None:
            response: bytes | Refusal | None = None
        elif in_thread is not None and MECHANISMS[exchange.mechanism].asks is Ability.KEYS:
            response = await in_thread(exchange.step, challenge)
        else:
            response = exchange.step(challenge)
        if not isinstance(response, bytes):
            await connection.ask(_CANCEL, timeout=timeout)
            why = "the challenge is not base64" if response is None else response.detail
            raise _distrusted(connection.name, why)
        [answer] = await connection.ask(AuthLine(response), timeout=timeout)
    if answer.reply.code != 235:
        raise LoginFailed(answer.reply, spoken=True)
    if not exchange.finished:
        raise _distrusted(connection.name, "it has not proved that it knows the password")


def _chosen(name: str, credentials: Credentials, terms: ClientTerms) -> ClientExchange:
    """SCRAM, which does not reveal the password, else a certificate, else a plain password."""
    without = replace(credentials, certificate=False)
    mechanism = choose(without, terms)
    if credentials.certificate and (mechanism is None or MECHANISMS[mechanism].reveals_secret):
        mechanism = choose(credentials, terms) or mechanism
    if mechanism is not None:
        return attempt(mechanism, credentials, terms)
    text = f"{name} offers neither SCRAM-SHA-256 nor AUTH PLAIN nor AUTH LOGIN"
    raise LoginFailed(Reply(454, text, "4.7.0"))


async def _began(connection: ServerConnection, exchange: ClientExchange, timeout: float) -> Replied:
    """The reply to AUTH, which is sent with an initial response if the mechanism allows it."""
    mechanism = exchange.mechanism
    initial = exchange.initial()
    if initial is None or len(f"AUTH {mechanism} \r\n") + len(b64encode(initial)) <= MAX_AUTH:
        [answer] = await connection.ask(Auth(mechanism, initial), timeout=timeout)
        return answer
    [answer] = await connection.ask(Auth(mechanism), timeout=timeout)
    if answer.reply.code == 334:
        [answer] = await connection.ask(AuthLine(initial), timeout=timeout)
    return answer


def _decoded(text: str) -> bytes | None:
    try:
        return b64decode(text.strip(), validate=True)
    except (Error, ValueError):
        return None


def _distrusted(name: str, why: str) -> LoginFailed:
    return LoginFailed(Reply(454, f"{name} is not who it should be: {why}", "4.7.0"))
