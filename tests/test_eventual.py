"""Values now or later: what at_once() gives, and coroutines run on without Twisted's layers."""

from __future__ import annotations

from collections.abc import Generator
from contextvars import ContextVar
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from mailframe.eventual import at_once, is_later, settled

_NAME: ContextVar[str] = ContextVar("_NAME", default="nobody")


class _Later(Deferred[Any]):
    """Somebody's own kind of Deferred."""


class _Yields:
    """Something that can be awaited and yields what it was given."""

    def __init__(self, *things: Any) -> None:
        self._things = things

    def __await__(self) -> Generator[Any, Any, list[Any]]:
        answers = []
        for thing in self._things:
            answers.append((yield thing))
        return answers


class AtOnceTests(SynchronousTestCase):
    def test_values_come_straight_out(self) -> None:
        """Plain values, coroutines that need not wait, Deferreds that have fired."""

        async def quick() -> str:
            return await succeed("there")

        self.assertEqual(at_once("there"), "there")
        self.assertEqual(at_once(quick()), "there")
        self.assertEqual(at_once(succeed("there")), "there")
        self.assertIsNone(at_once(None))

    def test_an_exception_before_the_first_wait_is_raised(self) -> None:
        """It is not put into a Deferred."""

        async def wrong() -> None:
            raise KeyError("none")

        with self.assertRaises(KeyError):
            at_once(wrong())

    def test_settled_gives_the_value_of_each_kind(self) -> None:
        """A value, a coroutine and a Deferred; it waits for the one that is not there yet."""

        async def quick() -> str:
            return "there"

        later: Deferred[str] = Deferred()
        self.assertEqual(at_once(settled("there")), "there")
        self.assertEqual(at_once(settled(quick())), "there")
        waiting = at_once(settled(later))
        self.assertTrue(is_later(waiting))
        later.callback("there")
        self.assertEqual(at_once(waiting), "there")

    def test_what_is_not_there_is_a_deferred(self) -> None:
        """A Deferred that waits, has failed, is paused or chained is given as it is."""
        chained = succeed(None).addCallback(lambda _: Deferred())
        paused = succeed(1)
        paused.pause()
        failed: Deferred[None] = fail(KeyError())
        for later in (Deferred(), failed, paused, chained, _Later()):
            self.assertIs(at_once(later), later)
        self.failureResultOf(failed, KeyError)

    def test_is_later(self) -> None:
        """Deferreds of any class, and nothing else."""
        for value, expected in ((Deferred(), True), (_Later(), True), (None, False), ("", False)):
            self.assertIs(is_later(value), expected)

    def test_a_coroutine_waits_again_and_again(self) -> None:
        """Its Deferred fires with what it returns in the end."""
        first: Deferred[str] = Deferred()
        second: Deferred[str] = Deferred()

        async def both() -> str:
            return await first + await second

        result = at_once(both())
        assert is_later(result)
        first.callback("a")
        self.assertNoResult(result)
        second.callback("b")
        self.assertEqual(self.successResultOf(result), "ab")

    def test_a_failure_is_raised_where_it_is_awaited(self) -> None:
        """The coroutine may handle it; what it does not becomes the Deferred's."""
        waits: list[Deferred[str]] = [Deferred(), Deferred()]

        async def careful() -> str:
            try:
                return await waits[0]
            except KeyError:
                return await waits[1]

        result = at_once(careful())
        assert is_later(result)
        waits[0].errback(KeyError())
        self.assertNoResult(result)
        waits[1].errback(ValueError("no"))
        self.failureResultOf(result, ValueError)
        # What was handled is not reported as unhandled, either.
        self.assertIsNone(waits[0].result)

    def test_many_that_are_there_need_no_stack(self) -> None:
        """Things that yield what is there already do not nest, however many they are."""

        async def many() -> int:
            await Deferred_once
            total = 0
            for _ in range(3000):
                total += sum(await _Yields(succeed(1), 2))
            return total

        Deferred_once: Deferred[None] = Deferred()
        result = at_once(many())
        assert is_later(result)
        Deferred_once.callback(None)
        self.assertEqual(self.successResultOf(result), 9000)

    def test_something_else_yielded_at_first(self) -> None:
        """What is no Deferred is sent back, as Twisted does."""

        async def odd() -> list[Any]:
            return await _Yields(1, "b", None)  # type: ignore[no-any-return]

        result = at_once(odd())
        assert is_later(result)
        self.assertEqual(self.successResultOf(result), [1, "b", None])

    def test_a_failure_yielded(self) -> None:
        """A Deferred that has failed raises where it was yielded."""

        async def odd() -> None:
            await _Yields(fail(KeyError("x")))

        result = at_once(odd())
        assert is_later(result)
        self.failureResultOf(result, KeyError)

    def test_cancelling_cancels_what_is_waited_for(self) -> None:
        """And the Deferred fails with CancelledError, as the coroutine does."""
        cancelled = []
        wait: Deferred[None] = Deferred(cancelled.append)

        async def waiting() -> None:
            await wait

        result = at_once(waiting())
        assert is_later(result)
        result.cancel()
        self.assertEqual(cancelled, [wait])
        self.failureResultOf(result, CancelledError)

    def test_a_coroutine_may_return_when_cancelled(self) -> None:
        """Its value is the result."""

        async def stubborn() -> str:
            try:
                await Deferred()
            except CancelledError:
                return "done so far"
            return "never"

        result = at_once(stubborn())
        assert is_later(result)
        result.cancel()
        self.assertEqual(self.successResultOf(result), "done so far")

    def test_a_coroutine_may_go_on_when_cancelled(self) -> None:
        """It is waited for; a second cancel() reaches what it waits for then."""
        tidying: Deferred[str] = Deferred()

        async def tidy() -> str:
            try:
                await Deferred()
            except CancelledError:
                return await tidying
            return "never"

        for second in (False, True):
            tidying = Deferred()
            result = at_once(tidy())
            assert is_later(result)
            result.cancel()
            self.assertNoResult(result)
            if second:
                result.cancel()
                self.failureResultOf(result, CancelledError)
            else:
                tidying.callback("tidied")
                self.assertEqual(self.successResultOf(result), "tidied")

    def test_the_context_is_that_of_the_call(self) -> None:
        """Whoever fires what was waited for does not lend the coroutine his variables."""
        wait: Deferred[None] = Deferred()

        async def who() -> str:
            await wait
            return _NAME.get()

        token = _NAME.set("the caller")
        result = at_once(who())
        _NAME.reset(token)
        assert is_later(result)
        wait.callback(None)
        self.assertEqual(self.successResultOf(result), "the caller")
