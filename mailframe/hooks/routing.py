"""Where a recipient's mail goes: the routers asked about it, and about all that it stands for."""

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


#: A router's answer, and the index of who gave it.
Opinion = tuple[Route | Redirect | Reply, int]

#: What a message has one entry of (`Recipient.key`), with what is asked for by NOTIFY.
Known = Mapping[tuple[Mailbox, Mailbox | None], Notify]


@dataclass(frozen=True, slots=True)
class Routing:
    """What became of one recipient: where it goes, and what of it is refused.

    Every `route.recipient` is set; a refusal is a negative Reply with the recipient it is for,
    the one asked about or one that it was redirected to. `repeated` are those that the message
    goes to already, if more is to be told of them than was asked for before. Nothing at all: all
    that it stands for has the message already.
    """

    routes: tuple[Route, ...]
    refusals: tuple[tuple[Recipient, Reply], ...]
    repeated: tuple[Recipient, ...] = ()


class Asking:
    """The routers, asked about the recipients of one envelope.

    `told` hears of every decision, None if nobody listens; the reactor's is its clock. `witness`
    sees every router that is asked.
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
        """The first answer from router `first` on, and the index of who gave it.

        A fault is a 451.
        """
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
        """The router's name, "" for none."""
        return self._routers[index].bound.name if index < len(self._routers) else ""

    def tell(
        self,
        recipient: Recipient,
        answer: Route | Redirect | Reply,
        plugin: str,
        milliseconds: float = 0.0,
    ) -> None:
        """Tell a decision, where somebody listens."""
        if self._told is not None:
            self._told(self._envelope, recipient, answer, plugin, milliseconds)


def routing_of(recipient: Recipient, answer: Route | Reply) -> Routing:
    """The Routing of one that was not redirected."""
    if isinstance(answer, Reply):
        return Routing((), ((recipient, answer),))
    return Routing((answer.of(recipient),), ())
