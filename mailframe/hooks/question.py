"""Asks one plugin one question, with a time limit and a check of the answer; a fault is a value.

If the plugin answers at once, no Deferred, task or timer is made.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from types import CoroutineType
from typing import Any, Literal

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..eventual import at_once, is_later
from ..message.ids import LETTERS
from ..smtp.reply import Reply
from .breaker import Breaker
from .oddities import Oddities

BLOCKING = 1.0  # seconds; blocking the reactor for longer is a fault, even if an answer comes


def new_reference() -> str:
    """Four letters that a client and the log are given, so that the log line can be found."""
    return "".join(secrets.choice(LETTERS) for _ in range(4))


@dataclass(frozen=True, slots=True)
class Bound:
    """One plugin of the configuration.

    `stage` and `name` are those of its section ("relay", "inbound"; an agent's name is that of its
    `[deliver.NAME]`). `timeout` is how many seconds one answer may take. `on_error` says what a
    fault of a filter or a departure hook does. `on` are the listeners whose sessions it is asked
    about, None for all. Mail that this host made itself comes from no listener.
    """

    stage: str
    name: str
    plugin: Any
    timeout: float = 30.0
    on_error: Literal["defer", "skip"] = "defer"
    on: frozenset[str] | None = None
    written: str = ""  # the section's `plugin` setting, if it is not the name

    @property
    def label(self) -> str:
        """Its name in the log. An agent has the name of its section, not of its code."""
        return f"{self.written} ([{self.stage}.{self.name}])" if self.written else self.name


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault in place of an answer. The client reads the reference, the log has the cause.

    `cause` is the exception's class or a few words. It is never shown to a client.
    """

    reference: str
    cause: str

    def reply(self, code: int = 451, status: str = "4.3.0") -> Reply:
        """The reply that the client reads."""
        return Reply(code, f"Local error, try again later (ref {self.reference})", status)


def fault_row(breaker: Breaker, bound: Bound, method: str, now: float) -> dict[str, object] | None:
    """The row of `Question.state`; `now` is in the reactor's seconds."""
    if not breaker.faults:
        return None
    left = None if breaker.until is None else max(0.0, breaker.until - now)
    row = {"stage": bound.stage, "plugin": bound.name, "method": method}
    return {**row, "faults": breaker.faults, "open_for": left}


class Question:
    """One method of one plugin, which is asked again and again.

    `accepts` returns True for a valid answer. None is not passed to it: None means no opinion if
    `silence` allows it. Exceptions of the classes `no` count as None. `told` is called for every
    new Fault, with the plugin, the method, the Fault, and the first argument (None if there is
    none). Timeouts count for the breaker unless `patient`. Blocking the reactor always counts for
    it, though the answer is used. Faults about one recipient or one client count for these first
    (see `oddities`).
    """

    _log = Logger()

    def __init__(
        self,
        bound: Bound,
        method: str,
        accepts: Callable[[Any], bool],
        reactor: IReactorTime,
        told: Callable[[Bound, str, Fault, Any], None],
        *,
        silence: bool = True,
        patient: bool = False,
        no: tuple[type[Exception], ...] = (),
    ) -> None:
        self.bound = bound
        self.method = method
        self._call = getattr(bound.plugin, method)
        self._accepts = accepts
        self._reactor = reactor
        self._told = told
        self._silence = silence
        self._patient = patient
        self._no = no
        self._names: dict[str, Any] = {
            "stage": bound.stage,
            "plugin": bound.label,
            "method": method,
        }
        self._breaker = Breaker()
        self._oddities = Oddities[Fault]()
        self._last_fault = Fault("", "")
        self._most = min(bound.timeout, BLOCKING)

    def state(self) -> dict[str, object] | None:
        """A row for IInspected, None if nothing is wrong.

        `faults` is the number of faults in a row. `open_for` is the number of seconds for which the
        plugin is not asked, None if it is asked. `about` is there if it is not asked about one
        recipient or one client alone.
        """
        now = self._reactor.seconds()
        row = fault_row(self._breaker, self.bound, self.method, now)
        if row is not None and row["open_for"] is None and (odd := self._oddities.bypassed(now)):
            about, faults, left = odd
            row |= {"about": about, "faults": faults, "open_for": left}
        return row

    def ask(self, *arguments: Any, about: Any = None) -> Any:
        """The answer or a Fault, or a Deferred of either. Raises nothing.

        `about` is what `told` is called with instead of the first argument. Cancelling the Deferred
        cancels the plugin's own. It then fails with CancelledError, which does not count as a
        fault.
        """
        breaker, started = self._breaker, self._reactor.seconds()
        given = arguments
        if about is not None:
            arguments = (about, *arguments)
        if breaker.faults and (known := self._bypassed(arguments, started)) is not None:
            return known
        blocked = False
        try:
            answer = self._call(*given)
            if type(answer) is CoroutineType or is_later(answer):
                answer = at_once(answer)
            took = self._reactor.seconds() - started
            if took >= self._most:
                blocked = True
                self._blocked(took, arguments)
            if answer is None and self._silence and not breaker.faults:
                return None
            if is_later(answer):
                return self._wait(answer, arguments, blocked)
        except self._no:
            answer = None
        # Whatever a plugin raises is its fault, not ours.
        except Exception:  # noqa: BLE001
            return self.failed(Failure(), arguments)  # type: ignore[no-untyped-call]
        return self._settled(answer, arguments, blocked)

    def _bypassed(self, arguments: tuple[Any, ...], now: float) -> Fault | None:
        """The fault to answer with, None if the plugin is to be asked."""
        if self._breaker.until is None:
            return self._oddities.fault(arguments, now)
        return None if self._breaker.admits(now) else self._last_fault

    def _settled(self, answer: Any, arguments: tuple[Any, ...], blocked: bool) -> Any:
        try:
            fits = self._silence if answer is None else self._accepts(answer)
        except Exception:  # noqa: BLE001
            return self.failed(Failure(), arguments)  # type: ignore[no-untyped-call]
        if not fits:
            return self._nonsense(answer, arguments)
        if not blocked and self._breaker.faults:
            self._oddities.clear()
            if self._breaker.succeeded():
                self._log.info(
                    "{stage} plugin {plugin} answers {method} again: restored", **self._names
                )
        return answer

    def _wait(self, asked: Deferred[Any], arguments: tuple[Any, ...], blocked: bool) -> Any:
        """Wait for the answer, or give a Fault after the timeout."""

        def give_up(_: Deferred[Any]) -> None:
            if timer.active():
                timer.cancel()
                self._abandoned(arguments)
                self._cancel(asked)

        def expire() -> None:
            answer.callback(self._timed_out(arguments))
            self._cancel(asked)

        def settle(result: Any) -> None:
            if not timer.active():
                self._too_late(result)
                return
            timer.cancel()
            if not isinstance(result, Failure):
                answer.callback(self._settled(result, arguments, blocked))
            elif isinstance(result.value, self._no):
                answer.callback(self._settled(None, arguments, blocked))
            else:
                answer.callback(self.failed(result, arguments))

        answer: Deferred[Any] = Deferred(give_up)
        timer = self._reactor.callLater(self.bound.timeout, expire)
        asked.addBoth(settle)
        # If it had failed already, no Deferred is needed.
        return answer.result if answer.called else answer

    def _cancel(self, asked: Deferred[Any]) -> None:
        try:
            asked.cancel()
        # The canceller of a plugin's Deferred is the plugin's code.
        except Exception:  # noqa: BLE001
            self._too_late(Failure())  # type: ignore[no-untyped-call]

    def failed(self, failure: Failure, arguments: tuple[Any, ...]) -> Fault:
        """The Fault for an exception that the plugin, or the use of its answer, raised."""
        fault = Fault(new_reference(), failure.type.__name__ if failure.type else "error")
        self._log.failure(
            "{stage} plugin {plugin} failed at {method}, ref {reference}",
            failure=failure,
            **self._names,
            reference=fault.reference,
        )
        return self._count(fault, arguments)

    def _nonsense(self, answer: Any, arguments: tuple[Any, ...]) -> Fault:
        fault = Fault(new_reference(), f"answered {_kind(answer)}")
        self._log.error(
            "{stage} plugin {plugin} answered {method} with {kind}, which is no answer to that, "
            "ref {reference}",
            **self._names,
            kind=_kind(answer),
            reference=fault.reference,
        )
        return self._count(fault, arguments)

    def _blocked(self, seconds: float, arguments: tuple[Any, ...]) -> None:
        fault = Fault(new_reference(), "blocked")
        self._log.error(
            "{stage} plugin {plugin} blocked everything for {seconds:.1f} s at {method}: "
            "what takes long belongs into a thread, ref {reference}",
            **self._names,
            seconds=seconds,
            reference=fault.reference,
        )
        self._count(fault, arguments, everybodys=True)

    def _abandoned(self, arguments: tuple[Any, ...]) -> None:
        self._breaker.abandoned()
        self._oddities.abandoned(arguments)

    def _timed_out(self, arguments: tuple[Any, ...]) -> Fault:
        fault = Fault(new_reference(), "timeout")
        self._log.error(
            "{stage} plugin {plugin} did not answer {method} within {timeout} s, ref {reference}",
            **self._names,
            timeout=self.bound.timeout,
            reference=fault.reference,
        )
        if self._patient:
            self._abandoned(arguments)
            self._told(self.bound, self.method, fault, arguments[0] if arguments else None)
            return fault
        return self._count(fault, arguments)

    def _count(self, fault: Fault, arguments: tuple[Any, ...], everybodys: bool = False) -> Fault:
        """Count a fault. With `everybodys` it counts for all, whoever the question was about."""
        self._last_fault = fault
        now, breaker, whose = self._reactor.seconds(), self._breaker, None
        if breaker.until is None and not everybodys:
            whose = self._oddities.failed(arguments, fault, now)
        if whose is None:
            pause = breaker.failed(now)
            about, faults = "", breaker.faults
        else:
            subject, faults, pause = whose
            about = f" about {subject} alone"
        if pause is not None:
            self._log.error(
                "{stage} plugin {plugin} failed {faults} times in a row at {method}{about}: "
                "bypassed for {pause} s",
                **self._names,
                faults=faults,
                about=about,
                pause=pause,
            )
        self._told(self.bound, self.method, fault, arguments[0] if arguments else None)
        return fault

    def _too_late(self, result: Any) -> None:
        if isinstance(result, Failure) and not isinstance(
            result.value, (CancelledError, *self._no)
        ):
            self._log.failure(
                "{stage} plugin {plugin} failed at {method} after nobody waited any more",
                failure=result,
                **self._names,
            )


def _kind(answer: Any) -> str:
    """A few words about an invalid answer: the code of a Reply, else the class."""
    return f"a {answer.code} reply" if isinstance(answer, Reply) else type(answer).__name__
