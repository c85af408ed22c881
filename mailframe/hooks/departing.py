"""Asks all departure hooks about one message that leaves, and applies their changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ..eventual import at_once, is_later
from ..message import Content, Departed, Departure, Message, Recipient, Route
from ..message.rewritten import is_ascii, on_top, shortened
from ..smtp.address import Mailbox
from ..smtp.reply import Reply
from . import answers
from .observers import Audience
from .panel import Witness, ask
from .question import Fault, Question

InThread = Callable[..., Deferred[Any]]


async def departed(
    questions: Sequence[Question],
    message: Message,
    routes: Sequence[Route],
    in_thread: InThread,
    audience: Audience | None,
    seconds: Callable[[], float],
    witness: Witness | None = None,
) -> Departed | Reply:
    """Ask all hooks, each about the message as changed by those before it.

    A negative Reply ends the asking, and so does a fault unless it is to be skipped. `audience` is
    told; it is None if no observer wants to know. Raises OSError if the store cannot be read.
    """
    leaving = _Leaving(message, routes, in_thread, audience)
    clock = seconds if audience is not None or witness is not None else None
    waiting = ask(questions, leaving.asked, goes_on=leaving.goes_on, seconds=clock, witness=witness)
    if is_later(waiting):
        await waiting
    return leaving.result()


class _Leaving:
    """The message as changed so far. `asked` are the arguments for the next hook."""

    def __init__(
        self,
        message: Message,
        routes: Sequence[Route],
        in_thread: InThread,
        audience: Audience | None,
    ) -> None:
        self.asked: list[Any] = [message, routes]
        self._recipients = frozenset(route.recipient for route in routes)
        self._in_thread = in_thread
        self._audience = audience
        self._senders: dict[Recipient, Mailbox] = {}
        self._refusal: Reply | None = None

    def goes_on(self, answer: Any, question: Question, started: float) -> bool | Deferred[bool]:
        """Take one answer. False if it keeps the message here."""
        if isinstance(answer, Departure):
            return at_once(self._take(answer, question, started))
        return self._kept(answer, question, started)

    def result(self) -> Departed | Reply:
        """The message as it leaves, or why it does not."""
        return self._refusal or Departed(self.asked[0], self._senders)

    def _kept(self, answer: Reply | Fault, question: Question, started: float) -> bool:
        if isinstance(answer, Fault):
            if question.bound.on_error == "skip":
                return True
            answer = answer.reply()
        self._tell(question, answer, started)
        self._refusal = answer
        return False

    async def _take(self, departure: Departure, question: Question, started: float) -> bool:
        try:
            content = await self._changed(departure)
        except OSError:
            if departure.content is None:
                raise  # the store's
            return self._kept(self._failed(question), question, started)
        # Opening a Content that the plugin made runs the plugin's code.
        except Exception:  # noqa: BLE001
            return self._kept(self._failed(question), question, started)
        message: Message = self.asked[0]
        self.asked[0] = replace(message, content=content)
        if message.envelope.sender is not None:
            self._senders.update(departure.senders)
        self._tell(question, departure, started)
        return True

    def _failed(self, question: Question) -> Fault:
        return question.failed(Failure(), tuple(self.asked))  # type: ignore[no-untyped-call]

    async def _changed(self, departure: Departure) -> Content:
        """The content with all changes. ValueError if the message could not leave with them."""
        message: Message = self.asked[0]
        envelope, content = message.envelope, message.content
        if not envelope.smtputf8 and not all(map(str.isascii, departure.headers)):
            raise ValueError(
                "a header field is not in ASCII, and the message leaves without SMTPUTF8"
            )
        if not self._recipients.issuperset(departure.senders):
            raise ValueError("a sender for a recipient that was not asked about")
        if departure.content is not None:
            await self._in_thread(_check_replaced, envelope.body, content, departure.content)
            content = departure.content
        if departure.without:
            if content.at_hand is None:
                content = await self._in_thread(shortened, content, departure.without)
            else:
                content = shortened(content, departure.without)
        return on_top(content, map(answers.folded, departure.headers))

    def _tell(self, question: Question, answer: Departure | Reply, started: float) -> None:
        if self._audience is not None:
            message, routes = self.asked
            self._audience.departure(question.bound.name, answer, started, message, routes)


def _check_replaced(body: str, old: Content, new: Content) -> None:
    """ValueError if `new` is not 7-bit and would go to a next hop that takes only 7-bit content."""
    if body == "7BIT" and not is_ascii(new) and is_ascii(old):
        raise ValueError("content that is not 7-bit, in place of such that is")
