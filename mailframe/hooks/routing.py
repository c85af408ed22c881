"""Asks the routers where a recipient's mail goes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from ..eventual import is_later
from ..message import Envelope, Recipient, Redirect, Route
from ..message.notify import Notify
from ..smtp.address import Mailbox
from ..smtp.reply import NO_SUCH_DOMAIN, Reply
from .panel import Asked, Witness, ask
from .question import Fault, Question

MAX_ADDRESSES = 5000  # that one recipient may stand for

#: Called with (envelope, recipient, answer, plugin's name, milliseconds) for every decision.
Told = Callable[[Envelope, Recipient, Route | Redirect | Reply, str, float], None]


#: A router's answer, and the router's index.
Opinion = tuple[Route | Redirect | Reply, int]

#: The recipients that a message already has, by `Recipient.key`, each with its NOTIFY.
Known = Mapping[tuple[Mailbox, Mailbox | None], Notify]


@dataclass(frozen=True, slots=True)
class Routing:
    """The routes and refusals of one recipient.

    Every `route.recipient` is set. A refusal is a negative Reply together with its recipient: the
    one that was asked about, or one that it was redirected to. `repeated` are recipients that the
    message has already, but for which NOTIFY now asks for more reports. If all three are empty,
    the message already goes to everyone that the recipient stands for.
    """

    routes: tuple[Route, ...]
    refusals: tuple[tuple[Recipient, Reply], ...]
    repeated: tuple[Recipient, ...] = ()


class Asking:
    """The routers, asked about the recipients of one envelope.

    `told` is called for every decision; it is None if no observer wants to know. Times are in the
    reactor's seconds. `witness` sees every router that is asked.
    """

    __slots__ = ("_envelope", "_routers", "_seconds", "_told", "_witness", "reactor")

    def __init__(
        self,
        envelope: Envelope,
        routers: tuple[Question, ...],
        told: Told | None,
        reactor: IReactorTime,
        witness: Witness | None = None,
    ) -> None:
        self.reactor = reactor
        self._witness = witness
        self._envelope = envelope
        self._routers = routers
        self._told = told
        self._seconds = reactor.seconds

    def ask(self, recipient: Recipient, first: int) -> Opinion | Deferred[Opinion]:
        """The first answer from router `first` on, and that router's index. A fault is a 451."""
        started = 0.0 if self._told is None else self._seconds()
        asked = ask(
            self._routers,
            (self._envelope, recipient),
            first=first,
            seconds=self._seconds if self._witness is not None else None,
            witness=self._witness,
        )
        if is_later(asked):
            return asked.addCallback(self._opinion, recipient, started)
        return self._opinion(asked, recipient, started)

    def _opinion(self, asked: Asked, recipient: Recipient, started: float) -> Opinion:
        answer, index = asked
        if answer is None:
            answer = NO_SUCH_DOMAIN
        elif isinstance(answer, Fault):
            answer = answer.reply()
        if self._told is not None:
            took = (self._seconds() - started) * 1e3
            self.tell(recipient, answer, self.name(index), took)
        return answer, index

    def name(self, index: int) -> str:
        """The router's name, "" if there is no such router."""
        return self._routers[index].bound.name if index < len(self._routers) else ""

    def tell(
        self,
        recipient: Recipient,
        answer: Route | Redirect | Reply,
        plugin: str,
        milliseconds: float = 0.0,
    ) -> None:
        """Tell a decision, if an observer wants to know."""
        if self._told is not None:
            self._told(self._envelope, recipient, answer, plugin, milliseconds)


def routing_of(recipient: Recipient, answer: Route | Reply) -> Routing:
    """The Routing of a recipient that was not redirected."""
    if isinstance(answer, Reply):
        return Routing((), ((recipient, answer),))
    return Routing((answer.of(recipient),), ())
