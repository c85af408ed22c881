"""FLOOR 2: values that are there now or come later, without cost where they are there.

A hook returns a value, a coroutine or a Deferred. Where a value is at hand, no Deferred
and no task is made: asking ten such hooks costs less than a microsecond.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from inspect import iscoroutine
from typing import Any, TypeAlias, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

T = TypeVar("T")

#: What a hook may return: the value, a coroutine of it or a Deferred of it.
Eventual: TypeAlias = T | Deferred[T] | Coroutine[Any, Any, T]


class _Started:
    """A coroutine that already ran to its first wait, to be awaited from there on."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], waiting_for: Any) -> None:
        self._coroutine = coroutine
        self._waiting_for = waiting_for

    def __await__(self) -> Generator[Any, Any, Any]:
        waiting_for: Any = self._waiting_for
        while True:
            step: Callable[[Any], Any]
            try:
                value = yield waiting_for
            except GeneratorExit:
                self._coroutine.close()
                raise
            # Whatever was waited for failed: the coroutine, not we, decides what it means.
            except BaseException as failed:  # noqa: BLE001
                step, argument = self._coroutine.throw, failed
            else:
                step, argument = self._coroutine.send, value
            try:
                waiting_for = step(argument)
            except StopIteration as done:
                return done.value


async def _finish(started: _Started) -> Any:
    return await started


def at_once(eventual: Eventual[T]) -> T | Deferred[T]:
    """The value if it can be had without waiting, else a Deferred of it.

    A coroutine is run up to its first wait; if it returns before that, its value comes
    straight out, and its exception is raised straight out. A Deferred that has already
    fired with a value gives the value.
    """
    if iscoroutine(eventual):
        try:
            waiting_for = eventual.send(None)
        except StopIteration as done:
            value: T = done.value
            return value
        return Deferred.fromCoroutine(_finish(_Started(eventual, waiting_for)))
    if isinstance(eventual, Deferred) and eventual.called and not eventual.paused:
        result: Any = eventual.result
        if not isinstance(result, Deferred | Failure):
            return result  # type: ignore[no-any-return]
    return eventual  # type: ignore[return-value]
