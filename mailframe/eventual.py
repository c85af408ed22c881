"""FLOOR 2: values that are at hand or come later; those at hand cost next to nothing.

A hook returns a value, a coroutine or a Deferred. If the value is at hand, no Deferred and no task
is made: asking ten such hooks takes less than a microsecond.
"""

from __future__ import annotations

from collections.abc import Coroutine
from contextvars import copy_context
from functools import lru_cache
from types import CoroutineType
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

if TYPE_CHECKING:
    from typing_extensions import TypeIs

T = TypeVar("T")

TURN = 0.01  # seconds of work after which the reactor must do other work

#: What a hook may return: the value, a coroutine of it or a Deferred of it.
Eventual: TypeAlias = T | Deferred[T] | Coroutine[Any, Any, T]


def is_later(value: object) -> TypeIs[Deferred[Any]]:
    """True for a Deferred. If it is not one, this is many times faster than isinstance().

    Python takes a Deferred for an abstract class, so isinstance() would ask its metaclass.
    """
    kind = type(value)
    return kind is Deferred or _is_deferred(kind)  # type: ignore[arg-type]


@lru_cache(maxsize=512)
def _is_deferred(kind: type) -> bool:
    return issubclass(kind, Deferred)


def at_once(eventual: Eventual[T]) -> T | Deferred[T]:
    """The value if it can be had without waiting, else a Deferred of it.

    A coroutine is run until it first waits. If it ends before that, its value is returned or its
    exception is raised here. A Deferred that has already fired with a value gives that value.
    """
    if type(eventual) is CoroutineType:
        try:
            waiting_for = eventual.send(None)
        except StopIteration as done:
            value: T = done.value
            return value
        return _Course(eventual, waiting_for)
    if is_later(eventual) and eventual.called and not eventual.paused:
        result: Any = eventual.result
        if not (is_later(result) or isinstance(result, Failure)):
            return result  # type: ignore[no-any-return]
    return eventual  # type: ignore[return-value]


async def settled(eventual: Eventual[T]) -> T:
    """Wait for the value only if it is not at hand; in a coroutine: `await settled(…)`."""
    value = at_once(eventual)
    return await value if is_later(value) else value


class _Course(Deferred[T]):
    """The result of a coroutine that waits; it is continued whenever what it waits for is there.

    From the first wait on it does the same as Deferred.fromCoroutine, with fewer layers.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, T], waiting_for: Any) -> None:
        super().__init__()
        self._coroutine = coroutine
        self._context = copy_context()
        self._waiting_for: Any = None
        self._wait(waiting_for)

    def _wait(self, waiting_for: Any) -> None:
        # A value that is no Deferred, or a Deferred that has fired, is sent back at once.
        while not is_later(waiting_for) or (waiting_for.called and not waiting_for.paused):
            if waiting_for is _ENDED:
                return
            value = waiting_for
            if is_later(waiting_for):
                here: list[Any] = []
                waiting_for.addBoth(here.append)
                (value,) = here
            waiting_for = self._step(value)
        self._waiting_for = waiting_for
        waiting_for.addBoth(self._go_on)

    def _go_on(self, value: Any) -> None:
        waiting_for = self._step(value)
        if waiting_for is not _ENDED:
            self._wait(waiting_for)

    def _step(self, value: Any) -> Any:
        """Run until the next wait; returns what it waits for, or _ENDED."""
        try:
            if isinstance(value, Failure):
                return self._context.run(value.throwExceptionIntoGenerator, self._coroutine)
            return self._context.run(self._coroutine.send, value)
        except StopIteration as done:
            end: Any = done.value
        # Any exception goes to those who wait for the result.
        except BaseException:  # noqa: BLE001
            end = Failure()  # type: ignore[no-untyped-call]
        self._waiting_for = None
        self.callback(end)
        return _ENDED

    def cancel(self) -> None:
        """Cancel the Deferred that is waited for; the coroutine decides what follows and when it
        ends.
        """
        if self.called:
            super().cancel()
        elif self._waiting_for is not None:
            self._waiting_for.cancel()


_ENDED = object()


def pause(reactor: IReactorTime) -> Deferred[None]:
    """Let the reactor do other work: fires after everything that it has to do now."""

    def not_any_more(_: Deferred[None]) -> None:
        if timer.active():
            timer.cancel()

    paused: Deferred[None] = Deferred(not_any_more)
    timer = reactor.callLater(0.0, paused.callback, None)
    return paused
