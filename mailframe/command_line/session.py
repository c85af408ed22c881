"""Asks a host over its control socket or, if it is down, opens its store."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from ..host.privileges import NoSuchAccount, account, become
from ..host.state_folder import InUse, StateFolder
from .failures import CONFIGURATION, NO_PERMISSION, Wrong, unavailable
from .siblings import Answering, Siblings

if TYPE_CHECKING:
    from ..config import Composition
    from ..host.control import Control, Row, Rows
    from ..host.offline import Offline

PATIENCE = 30.0  # seconds to wait for the next line of an answer
RESTART = 10.0  # seconds to wait for a worker that is being replaced
DOES_NOT_ANSWER = "the host is running but does not answer"


@contextmanager
def session(composition: Composition, reactor: Callable[[], Any]) -> Generator[Answering]:
    """The running host if there is one; else its store, which is open in the meantime.

    `reactor()` gives the reactor that does the store's work, in a thread of its own.
    """
    state = StateFolder(composition.settings.state)
    with ExitStack() as stack:
        running = _running(state, composition.settings.workers, stack)
        if running is None:
            yield stack.enter_context(_offline(composition, state, reactor()))
        else:
            yield running


class ControlConnection:
    """The control socket of a running host."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._lines = channel.makefile("rb")

    def ask(self, question: str, **fields: Any) -> Iterator[Row]:
        """See Answering."""
        try:
            self._channel.sendall(json.dumps({"ask": question, **fields}).encode() + b"\n")
            for line in self._lines:
                answer = json.loads(line)
                if "error" in answer:
                    raise unavailable(answer["error"])
                if "done" in answer:
                    return
                yield answer["row"]
        except TimeoutError:
            raise unavailable(DOES_NOT_ANSWER) from None
        except (ConnectionError, ValueError):
            pass  # a BrokenPipeError here is about the host, not about our own output
        raise unavailable("the host hung up in the middle of its answer")

    def __enter__(self) -> ControlConnection:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._lines.close()
        self._channel.close()


def _running(state: StateFolder, workers: int, stack: ExitStack) -> Answering | None:
    """The running host with all its workers; None if it is down. Raises Wrong."""
    if workers == 1 and not state.siblings():
        connection = _connect(state, 0)
        return None if connection is None else stack.enter_context(connection)
    found: dict[int, ControlConnection] = {}
    end = time.monotonic() + RESTART
    while True:
        for number in {*range(workers), *state.siblings()} - found.keys():
            connection = _connect(state, number)
            if connection is not None:
                found[number] = stack.enter_context(connection)
        if not found:
            return None
        # The configuration may have been changed since they were started.
        (about,) = next(iter(found.values())).ask("ping")
        workers = about["workers"]
        missing = [number for number in range(workers) if number not in found]
        if not missing:
            # An older host that cannot answer this has only this kind of queue.
            sharded = about.get("sharded", True)
            return Siblings([found[number] for number in sorted(found)], sharded)
        if time.monotonic() >= end:
            names = ", ".join(map(str, missing))
            raise unavailable(f"of {workers} workers those do not answer: {names}; see the log")
        time.sleep(0.1)


def _connect(state: StateFolder, worker: int) -> ControlConnection | None:
    """A worker of a running host; None if nothing listens there. Raises Wrong."""
    channel = socket.socket(socket.AF_UNIX)
    channel.settimeout(PATIENCE)
    try:
        channel.connect(str(StateFolder(state.path, worker).control))
    except (FileNotFoundError, ConnectionRefusedError):
        channel.close()
        return None
    except PermissionError:
        channel.close()
        raise Wrong(f"{state.path}: only the host's user may ask", NO_PERMISSION) from None
    except OSError as wrong:  # such as a full backlog, or a path that is too long
        channel.close()
        raise unavailable(f"{DOES_NOT_ANSWER}: {wrong.strerror or wrong}") from None
    return ControlConnection(channel)


class Opened:
    """The store of a host that is down; its reactor runs in a thread beside this one."""

    def __init__(self, control: Control, reactor: Any) -> None:
        self._control = control
        self._reactor = reactor

    def ask(self, question: str, **fields: Any) -> Iterator[Row]:
        """See Answering."""
        from twisted.internet.threads import blockingCallFromThread

        try:
            rows: Rows = self._control.answer({"ask": question, **fields})
            try:
                while (row := blockingCallFromThread(self._reactor, _next, rows)) is not None:
                    yield row
            finally:
                blockingCallFromThread(self._reactor, _close, rows)
        except (ValueError, OSError) as wrong:
            raise unavailable(str(wrong)) from None


def _next(rows: Rows) -> Any:
    from twisted.internet.defer import Deferred

    async def step() -> Row | None:
        return await anext(rows, None)

    return Deferred.fromCoroutine(step())


def _close(rows: Rows) -> Any:
    from twisted.internet.defer import Deferred

    async def close() -> None:
        await rows.aclose()

    return Deferred.fromCoroutine(close())


@contextmanager
def _offline(composition: Composition, state: StateFolder, reactor: Any) -> Generator[Opened]:
    _enter(composition, state)
    try:
        with _opened(composition, reactor) as control:
            yield Opened(control, reactor)
    finally:
        state.let_go()


def _enter(composition: Composition, state: StateFolder) -> None:
    """Hold the state folder as the user that the host would become. Raises Wrong."""
    settings = composition.settings
    try:
        # The host must be able to open what this process creates.
        become(account(settings.user, settings.group))
        state.hold()
    except InUse:
        raise unavailable(DOES_NOT_ANSWER) from None
    except NoSuchAccount as wrong:
        raise Wrong(str(wrong), CONFIGURATION) from None
    except FileNotFoundError:
        raise unavailable(f"{state.path} is not there: this host has never run") from None
    except PermissionError:
        raise Wrong(f"{state.path}: only the host's user may look", NO_PERMISSION) from None


@contextmanager
def _opened(composition: Composition, reactor: Any) -> Generator[Control]:
    """The store and the trace of a host that is down, in a running reactor."""
    from twisted.internet.threads import blockingCallFromThread

    from ..config import ConfigErrors
    from ..host.offline import Offline
    from .commands import configuration_wrong

    try:
        offline = Offline(composition, reactor)
    except ConfigErrors as wrong:
        raise configuration_wrong(composition.file, wrong.errors) from None
    running = threading.Thread(target=reactor.run, args=(False,), name="reactor")
    running.start()
    try:
        try:
            blockingCallFromThread(reactor, offline.begin)
        except OSError as wrong:
            raise unavailable(f"the queue cannot be opened: {wrong}") from None
        yield offline.control
    finally:
        blockingCallFromThread(reactor, _ending(offline))
        reactor.callFromThread(reactor.stop)
        running.join()


def _ending(offline: Offline) -> Callable[[], Any]:
    from twisted.internet.defer import Deferred

    return lambda: Deferred.fromCoroutine(offline.end())
