"""Logging in, for every protocol: what a listener offers, and one exchange.

`Logins.offer` gives the mechanisms that a listener's `[[auth]]` plugins can serve now. A `Login` is
one exchange (RFC 4422 section 3). The client's octets go in; a challenge, a success or a refusal
comes out. How to say this to the client is left to the protocol:

    login = hooks.logins.begin(mechanism, client, channel)    # None: it is not offered
    step = await login.step(initial_response)                 # None: there was none
    # Challenge: send it, and step(response) again; Success, Refusal, Fault: it is over
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from math import ceil
from typing import TYPE_CHECKING, Any, TypeAlias

from twisted.cred.credentials import IUsernamePassword, UsernamePassword
from twisted.cred.error import Unauthorized
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from ..eventual import is_later
from ..message import Client
from ..message.vocabulary import Stage, Verdict
from ..sasl import (
    Ability,
    Answer,
    CertificateWanted,
    Challenge,
    Exchange,
    Identity,
    KeysWanted,
    PasswordWanted,
    Reason,
    Refusal,
    ServerTerms,
    Success,
    TokenRefused,
    TokenWanted,
    begin,
    is_name,
    offerable,
)
from ..sasl import Question as Wanted
from ..smtp.reply import AUTH_FAILED, AUTH_LATER, AUTH_NEEDS_TLS, Reply
from ..wire.handshake import TlsChannel
from . import answers
from .guesses import Guesses
from .observers import Audience, about
from .panel import Witness, ask
from .question import Bound, Fault, Question

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall

FAILURE_TIME = 1.0  # seconds; a failed login is answered after this or a multiple of it

_TOO_MANY = Refusal(Reason.LATER, "too many logins have failed before")

LoginStep: TypeAlias = Challenge | Success | Refusal | Fault

#: By the ability of a plugin: the method that is called, and the check of its answer.
_METHODS: dict[Ability, tuple[str, Callable[[Any], bool]]] = {
    Ability.PASSWORDS: ("requestAvatarId", answers.is_avatar),
    Ability.KEYS: ("stored_keys", answers.is_keys_found),
    Ability.TOKENS: ("check_token", answers.is_token_answer),
    Ability.CERTIFICATES: ("check_certificate", answers.is_identity),
}
_ASKED: dict[type[Wanted], Ability] = {
    PasswordWanted: Ability.PASSWORDS,
    KeysWanted: Ability.KEYS,
    TokenWanted: Ability.TOKENS,
    CertificateWanted: Ability.CERTIFICATES,
}


@dataclass(frozen=True, slots=True)
class Channel:
    """The connection that a login runs in.

    `private` is True if a plain password may be sent: in TLS, or because the listener allows it.
    `tls` is None without TLS.
    """

    private: bool
    tls: TlsChannel | None = None


class Logins:
    """Who may log in, by listener.

    `secret` returns 16 octets or more that are the same in every process of the host and after a
    restart. It is called when SCRAM first needs it.
    """

    def __init__(
        self,
        auth: Sequence[Bound],
        reactor: IReactorTime,
        audience: Audience,
        secret: Callable[[], bytes],
        guesses: Guesses,
    ) -> None:
        self.reactor = reactor
        self.guesses = guesses
        self._audience = audience
        self._secret = secret
        self._questions = {
            ability: self._questions_to(auth, method, accepts)
            for ability, (method, accepts) in _METHODS.items()
        }
        self._keeping = self._questions_to(auth, "keeps_keys", answers.is_flag)
        self._asked: dict[str, Mapping[Ability, Sequence[Question]]] = {}

    def questions(self) -> Iterator[Question]:
        """All questions to plugins about logins."""
        return chain(chain.from_iterable(self._questions.values()), self._keeping)

    def _questions_to(
        self, auth: Sequence[Bound], method: str, accepts: Callable[[Any], bool]
    ) -> list[Question]:
        return [
            Question(bound, method, accepts, self.reactor, self._told, no=(Unauthorized,))
            for bound in auth
            if hasattr(bound.plugin, method)
        ]

    def _told(self, bound: Bound, method: str, fault: Fault, subject: Any) -> None:
        self._audience.fault(bound, method, fault, subject)

    def offer(self, listener: str, channel: Channel) -> tuple[str, ...]:
        """The mechanisms that a client can use there now, the strongest first.

        Empty if passwords would go in the clear, because then mail would too, with any mechanism.
        """
        able = set(self._asked_at(listener)) if channel.private else set()
        if Ability.KEYS in able and not self._keeps_keys(listener):
            able.remove(Ability.KEYS)
        if not able:
            return ()
        tls = channel.tls
        able.add(Ability.PRIVACY)
        if tls is not None and Ability.KEYS in able and tls.bindings:
            able.add(Ability.BINDING)
        if tls is not None and Ability.CERTIFICATES in able and tls.client_certificate:
            able.add(Ability.CERTIFICATE)
        return offerable(able)

    def begin(
        self, mechanism: str, client: Client, channel: Channel, *, success_data: bool = False
    ) -> Login | None:
        """A new exchange, None if the mechanism is not on offer. Case does not matter.

        `success_data` is True if the protocol can send octets along with its success.
        """
        offered = self.offer(client.listener, channel)
        if mechanism.upper() not in offered:
            return None
        terms = ServerTerms(
            offered=offered,
            random=secrets.token_bytes,
            secret=self._secret(),
            bindings=channel.tls.bindings if channel.tls is not None else {},
            success_data=success_data,
        )
        exchange = begin(mechanism, terms)
        return None if exchange is None else Login(self, exchange, client, channel)

    async def ask(self, wanted: Wanted, client: Client, channel: Channel) -> tuple[Any, str]:
        """The answer, or a Fault if a plugin failed, and the name of the plugin that answered.

        No plugin is asked about a name that no user can have.
        """
        name = _name_in(wanted)
        if name and not is_name(name):
            return None, ""
        if isinstance(wanted, PasswordWanted):
            said = UsernamePassword(wanted.name.encode("utf-8"), wanted.password.encode("utf-8"))
            return await self.judge_password(said, client)
        arguments: tuple[Any, ...] = (wanted,)
        if isinstance(wanted, CertificateWanted):
            shown = channel.tls.client_certificate if channel.tls is not None else None
            if shown is None:
                return None, ""
            arguments = wanted, shown
        return await self._first_yes(_ASKED[type(wanted)], client, *arguments)

    async def judge_password(
        self, credentials: IUsernamePassword, client: Client, witness: Witness | None = None
    ) -> tuple[Identity | Fault | None, str]:
        """Whose credentials they are, or a Fault if a plugin failed and none said yes.

        The second value is the name of the plugin that answered.
        """
        answer, plugin = await self._first_yes(
            Ability.PASSWORDS, client, credentials, witness=witness
        )
        if answer is None or isinstance(answer, Fault):
            return answer, plugin
        return Identity(answers.user_name(answer)), plugin

    async def by_password(
        self, name: str, password: str, client: Client, channel: Channel
    ) -> str | Reply:
        """The user's name, for a protocol that sends name and password in a command of its own.

        Otherwise a refusal of SMTP: 538 5.7.11 if the password came in the clear, in which case it
        is not checked; 535 5.7.8; 454 4.7.0 if a plugin failed or too many logins have failed
        before. A refusal is delayed like that of a Login.
        """
        login = self.begin("PLAIN", client, channel)
        if login is None:
            return AUTH_FAILED if channel.private else AUTH_NEEDS_TLS
        step = await login.step(f"\0{name}\0{password}".encode("utf-8", "replace"))
        if isinstance(step, Success):
            return step.user
        if isinstance(step, Fault):
            return step.reply(454, "4.7.0")
        later = isinstance(step, Refusal) and step.reason is Reason.LATER
        return AUTH_LATER if later else AUTH_FAILED

    async def _first_yes(
        self, ability: Ability, client: Client, *arguments: Any, witness: Witness | None = None
    ) -> tuple[Any, str]:
        no: Fault | TokenRefused | None = None

        def goes_on(answer: Any, _question: Question, _started: float) -> bool:
            """Go on unless it is a yes. A fault counts more than the plain no of other plugins."""
            nonlocal no
            if isinstance(answer, Fault) or (isinstance(answer, TokenRefused) and no is None):
                no = answer
                return True
            return not answer or isinstance(answer, TokenRefused)

        questions = self._asked_at(client.listener).get(ability, ())
        clock = None if witness is None else self.reactor.seconds
        asked = ask(
            questions, arguments, goes_on=goes_on, seconds=clock, witness=witness, about=client
        )
        answer, index = await asked if is_later(asked) else asked
        return (no, "") if answer is None else (answer, questions[index].bound.name)

    def _asked_at(self, listener: str) -> Mapping[Ability, Sequence[Question]]:
        """The questions to ask about clients of this listener, by ability."""
        found = self._asked.get(listener)
        if found is None:
            every = {
                ability: _of_listener(questions, listener)
                for ability, questions in self._questions.items()
            }
            found = {ability: questions for ability, questions in every.items() if questions}
            self._asked[listener] = found
        return found

    def _keeps_keys(self, listener: str) -> bool:
        return any(each.ask() is True for each in _of_listener(self._keeping, listener))

    def decided(
        self, client: Client, verdict: Verdict | Reply, plugin: str, started: float, **facts: object
    ) -> None:
        """Tell observers."""
        self._audience.decided(Stage.AUTH, verdict, plugin, started, about(client), **facts)


def _of_listener(questions: Sequence[Question], listener: str) -> list[Question]:
    return [each for each in questions if each.bound.on is None or listener in each.bound.on]


def _name_in(wanted: Wanted) -> str:
    """The name that the client gave, "" if the question has no name."""
    return "" if isinstance(wanted, CertificateWanted) else wanted.name


class Login:
    """One exchange of one client. If the client cancels, drop it."""

    __slots__ = ("_channel", "_client", "_exchange", "_logins", "_name", "_nap", "_plugin")

    def __init__(
        self, logins: Logins, exchange: Exchange, client: Client, channel: Channel
    ) -> None:
        self._logins = logins
        self._exchange = exchange
        self._client = client
        self._channel = channel
        self._plugin = self._name = ""
        self._nap: tuple[IDelayedCall, Deferred[None]] | None = None

    async def step(self, response: bytes | None) -> LoginStep:
        """Take the client's decoded response (None if it began without one) and give what follows.

        After anything but a Challenge the exchange is over. A refusal of credentials and a Fault
        take a multiple of FAILURE_TIME, so that the time does not reveal which users exist. It
        grows with the number of failures. After too many of them no plugin is asked.
        """
        started = self._logins.reactor.seconds()
        step = self._exchange.step(response)
        while not isinstance(step, Challenge | Success | Refusal):
            self._name = _name_in(step)
            if self._logins.guesses.must_wait(self._client.address, self._name):
                step = _TOO_MANY
                break
            answer = await self._answer(step)
            if isinstance(answer, Fault):
                self._tell(answer.reply(454, "4.7.0"), started)
                await self._in_equal_time(started)
                return answer
            step = self._exchange.answered(answer)
        if isinstance(step, Success):
            self._logins.guesses.succeeded(self._client.address, self._name or step.user)
            more = {"acts_as": step.authzid} if step.authzid else {}
            self._tell(Verdict.AUTHENTICATED, started, user=step.user, **more)
        elif isinstance(step, Refusal) and step.reason is not Reason.MALFORMED:
            await self._refused(step, started)
        return step

    async def _refused(self, step: Refusal, started: float) -> None:
        self._plugin = ""
        guesses, address = self._logins.guesses, self._client.address
        if step.reason is Reason.REFUSED:
            guesses.failed(address, self._name)
        verdict = AUTH_LATER if step.reason is Reason.LATER else AUTH_FAILED
        self._tell(verdict, started, why=step.detail)
        await self._in_equal_time(started, guesses.slowness(address, self._name))

    async def _answer(self, wanted: Wanted) -> Answer | Fault:
        answer: Answer | Fault
        answer, self._plugin = await self._logins.ask(wanted, self._client, self._channel)
        return answer

    def _tell(
        self, verdict: Verdict | Reply, started: float, user: str = "", **facts: object
    ) -> None:
        mechanism = self._exchange.mechanism
        self._logins.decided(
            self._client, verdict, self._plugin, started, user=user, mechanism=mechanism, **facts
        )

    async def _in_equal_time(self, started: float, slowness: int = 1) -> None:
        reactor = self._logins.reactor
        taken = reactor.seconds() - started
        rest = max(slowness, ceil(taken / FAILURE_TIME)) * FAILURE_TIME - taken
        if rest <= 0:
            return
        awake: Deferred[None] = Deferred()
        self._nap = reactor.callLater(rest, awake.callback, None), awake
        await awake
        self._nap = None

    def hurry(self) -> None:
        """End the delay of a refusal, because nobody waits for the answer any more."""
        if self._nap is not None:
            call, awake = self._nap
            if call.active():
                call.cancel()
                awake.callback(None)
