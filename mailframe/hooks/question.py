"""Asking one plugin one question: timed, judged by type, its faults made values.

Sync-first: where the plugin answers at once, no Deferred, task or timer is made.
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

BLOCKING = 1.0  # seconds in which the reactor could do nothing else: a fault, however it ends


def new_reference() -> str:
    """Four letters that join what a client was told with what the log says of it."""
    return "".join(secrets.choice(LETTERS) for _ in range(4))


@dataclass(frozen=True, slots=True)
class Bound:
    """One plugin in its place.

    `stage` and `name` are its section's ("relay", "inbound"; an agent's name is that of its
    `[deliver.NAME]`). `timeout` is seconds that one answer may take. `on_error` is the fail
    rule of a filter. `on` are the listeners whose sessions it is asked about, None for all;
    mail of this host's own making comes from no listener.
    """

    stage: str
    name: str
    plugin: Any
    timeout: float = 30.0
    on_error: Literal["defer", "skip"] = "defer"
    on: frozenset[str] | None = None
    written: str = ""  # what `plugin` of the section says, if that is not the name

    @property
    def label(self) -> str:
        """What the log calls it: an agent is named for its section, not for whose code it is."""
        return f"{self.written} ([{self.stage}.{self.name}])" if self.written else self.name


@dataclass(frozen=True, slots=True)
class Fault:
    """What came instead of an answer. The client reads the reference, the log has the cause.

    `cause` is the exception's class or a few words; never shown to a client.
    """

    reference: str
    cause: str

    def reply(self, code: int = 451, status: str = "4.3.0") -> Reply:
        """The words that the client reads."""
        return Reply(code, f"Local error, try again later (ref {self.reference})", status)


def fault_row(breaker: Breaker, bound: Bound, method: str, now: float) -> dict[str, object] | None:
    """What `Question.state` says; `now` is on the reactor's clock."""
    if not breaker.faults:
        return None
    left = None if breaker.until is None else max(0.0, breaker.until - now)
    row = {"stage": bound.stage, "plugin": bound.name, "method": method}
    return {**row, "faults": breaker.faults, "open_for": left}


class Question:
    """One method of one plugin, asked again and again.

    `accepts` tells an answer from nonsense, None excepted: that is no opinion where
    `silence` allows it. Exceptions of the classes `no` count as None. `told` hears of every
    new Fault: the place, the method, the Fault, and the first argument, None if there is none.
    Timeouts count for the breaker unless `patient`; blocking the reactor always does, though
    the answer counts. Faults about one recipient or client are `Oddities` first.
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
        """A row for IInspected, None if nothing is wrong: `faults` in a row.

        `open_for` are the seconds for which the plugin is bypassed, None if it is asked; `about`
        is there if that concerns one recipient or client alone.
        """
        now = self._reactor.seconds()
        row = fault_row(self._breaker, self.bound, self.method, now)
        if row is not None and row["open_for"] is None and (odd := self._oddities.bypassed(now)):
            about, faults, left = odd
            row |= {"about": about, "faults": faults, "open_for": left}
        return row

    def ask(self, *arguments: Any, about: Any = None) -> Any:
        """The answer or a Fault, or a Deferred of either; raises nothing.

        `about` is what `told` hears of in place of the first argument.
        Cancelling the Deferred cancels the plugin's; that is nobody's fault and fails with
        CancelledError.
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
        """The answer that is not at hand yet, or a Fault after the timeout."""

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
        # What had failed already needs no Deferred.
        return answer.result if answer.called else answer

    def _cancel(self, asked: Deferred[Any]) -> None:
        try:
            asked.cancel()
        # A plugin's canceller is a plugin's code.
        except Exception:  # noqa: BLE001
            self._too_late(Failure())  # type: ignore[no-untyped-call]

    def failed(self, failure: Failure, arguments: tuple[Any, ...]) -> Fault:
        """The Fault of an exception that the plugin, or making use of its answer, raised."""
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
        """Count a fault: `everybodys` if it harms all, whoever it is about."""
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
    """A few words on a wrong answer; for a Reply its code, else its class."""
    return f"a {answer.code} reply" if isinstance(answer, Reply) else type(answer).__name__
