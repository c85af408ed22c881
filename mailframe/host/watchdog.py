"""Naming what keeps the reactor: while it is blocked nobody is served, and nothing else says why.

A thread looks at what the reactor's thread is doing, some times in the time that may pass
without a warning. One and the same call, look after look, is logged once, with its stack, while
it still goes on. The reactor itself does nothing for it.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from types import FrameType
from typing import Any

from twisted.application import service
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from ..hooks import Bound

QUIET = 60.0  # seconds in which the same call is not named again
_REMEMBERED = 100  # calls
_DEEPEST = 40  # frames of a stack that are logged, the innermost
# What runs between the reactor's loop and what it calls.
_ITS_OWN = frozenset({
    "twisted.internet.base", "twisted.internet.main", "twisted.internet.posixbase",
    "twisted.internet.pollreactor", "twisted.internet.epollreactor",
    "twisted.internet.selectreactor", "twisted.internet.kqreactor",
    "twisted.internet.asyncioreactor", "asyncio.base_events", "asyncio.events",
    "asyncio.runners", "selectors", "twisted.python.log", "twisted.python.context",
})  # fmt: skip


class Watchdog(service.Service):
    """Warns of calls that keep `reactor`, one that is run by the thread that starts it, `seconds`.

    `plugins` are named where a frame of the stack is in their module. A call of half as long
    again is always seen, one of half as long never.
    """

    _log = Logger()

    def __init__(self, reactor: IReactorTime, seconds: float, plugins: Iterable[Bound] = ()):
        self.name = "watchdog"
        self._reactor = reactor
        self._seconds = seconds
        self._places = _places(plugins)
        self._first_round: IDelayedCall | None = None
        self._over = threading.Event()  # the end of the thread that was started last

    def startService(self) -> None:
        """Begin with the reactor's next round: what is done to start is no fault."""
        super().startService()
        self._over = threading.Event()
        self._first_round = self._reactor.callLater(0, self._begin)

    def stopService(self) -> None:
        """The thread ends by itself, at once."""
        super().stopService()
        if self._first_round is not None and self._first_round.active():
            self._first_round.cancel()
        self._over.set()

    def _begin(self) -> None:
        watch = Watch(threading.get_ident(), self._seconds, self._warn, self._freed)
        threading.Thread(
            target=self._run, args=(watch, self._over), name="mailframe-watchdog", daemon=True
        ).start()

    def _run(self, watch: Watch, over: threading.Event) -> None:
        wait = 0.0
        while not over.wait(wait):
            wait = watch.look(time.monotonic(), watch.worked())

    def _warn(self, seconds: float, frames: list[FrameType], left_out: int) -> None:
        plugin = self._plugin(frames)
        by = f"{plugin} at {_name(frames[-1])}" if plugin else _name(frames[-1])
        self._log.warn(
            "the reactor has been kept for {seconds:.2f} s by {call}{more}; nobody else is "
            "served meanwhile:\n{stack}",
            seconds=seconds,
            call=by,
            plugin=plugin,
            more=f" ({left_out} times more since it was named last)" if left_out else "",
            stack=_stack(frames),
        )

    def _freed(self, seconds: float) -> None:
        self._log.info("the reactor was free again after {seconds:.2f} s", seconds=seconds)

    def _plugin(self, frames: list[FrameType]) -> str:
        """The plugins that the innermost frame of a plugin may belong to; "" for none."""
        for frame in reversed(frames):
            plugin = self._places.get(frame.f_code.co_filename)
            if plugin:
                return plugin
        return ""


class Watch:
    """What is seen of one thread, by its number: `look` again and again, from another one.

    `warn(seconds, frames, left_out)` hears of a call once, `freed(seconds)` of its end.
    """

    def __init__(
        self,
        thread: int,
        seconds: float,
        warn: Callable[[float, list[FrameType], int], None],
        freed: Callable[[float], None],
    ) -> None:
        self._thread = thread
        self._seconds = seconds
        self._warn = warn
        self._freed = freed
        self._looked, self._worked = float("inf"), 0.0
        self._call: FrameType | None = None  # what the reactor is at
        self._since = (0.0, 0.0)  # the last look without it, the first with it
        self._judged = False  # this call needs no more looks
        self._warned = False
        # By code: when a call was named, and how often it has not been since.
        self._named: dict[object, tuple[float, int]] = {}

    def worked(self) -> float:
        """Seconds of a processor that the thread has had; 0.0 where that cannot be known."""
        if sys.platform != "linux":
            return 0.0
        return time.clock_gettime(time.pthread_getcpuclockid(self._thread))

    def look(self, now: float, worked: float) -> float:
        """Seconds until the next look; `worked` is what `worked()` says now."""
        frames = called_by_the_reactor(sys._current_frames().get(self._thread))
        call = frames[0] if frames else None
        between = now - self._looked
        # A call into C that holds the interpreter keeps us from looking, too, and works meanwhile.
        overslept = between > self._seconds and worked - self._worked > between / 2
        if call is not self._call:
            if self._warned:
                self._freed(now - self._since[0])
            self._call, self._judged, self._warned = call, False, False
            self._since = min(self._looked, now), now
        self._looked, self._worked = now, worked
        if call is None:
            return self._seconds / 2
        least, most = now - self._since[1], now - self._since[0]
        if not self._judged and most >= self._seconds and (overslept or least >= self._seconds / 2):
            self._judge(now, most, frames)
        return self._seconds / 4

    def _judge(self, now: float, seconds: float, frames: list[FrameType]) -> None:
        """Name this call, unless it was named a moment ago."""
        self._judged = True
        code = frames[0].f_code, frames[-1].f_code
        named, left_out = self._named.get(code, (float("-inf"), 0))
        if now - named < QUIET:
            self._named[code] = named, left_out + 1
            return
        if len(self._named) >= _REMEMBERED:
            self._named.clear()
        self._named[code] = now, 0
        self._warned = True
        self._warn(seconds, frames, left_out)


def called_by_the_reactor(innermost: FrameType | None) -> list[FrameType]:
    """The stack from what the reactor called inwards; [] where it waits or works itself."""
    frames: list[FrameType] = []
    frame = innermost
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    frames.reverse()
    own = [frame.f_globals.get("__name__") in _ITS_OWN for frame in frames]
    if True not in own:
        return []
    first = own.index(True)
    return frames[own.index(False, first) :] if False in own[first:] else []


def _places(plugins: Iterable[Bound]) -> Mapping[str, str]:
    """The names of plugins by the files of their modules."""
    found: dict[str, list[str]] = {}
    for each in plugins:
        module: Any = sys.modules.get(type(each.plugin).__module__)
        file = getattr(module, "__file__", None)
        if file is not None:
            found.setdefault(file, []).append(f"{each.stage} plugin {each.label}")
    return {file: " or ".join(names) for file, names in found.items()}


def _name(frame: FrameType) -> str:
    return f"{frame.f_globals.get('__name__', '?')}:{frame.f_lineno} {frame.f_code.co_name}"


def _stack(frames: list[FrameType]) -> str:
    stack = traceback.StackSummary.extract((frame, frame.f_lineno) for frame in frames[-_DEEPEST:])
    return "".join(stack.format()).rstrip()
