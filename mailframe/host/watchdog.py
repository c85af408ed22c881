"""Finds out what blocks the reactor: while it is blocked no session is served.

A thread looks at the reactor's thread several times within the time that is allowed. If it sees the
same call every time, it logs that call once, with its stack, while the call still runs. The reactor
itself does no work for this.
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

QUIET = 60.0  # seconds in which the same call is not logged again
_REMEMBERED = 100  # calls that are remembered
_DEEPEST = 40  # innermost frames of a stack that are logged
# Modules that run between the reactor's loop and the code that it calls.
_ITS_OWN = frozenset({
    "twisted.internet.base", "twisted.internet.main", "twisted.internet.posixbase",
    "twisted.internet.pollreactor", "twisted.internet.epollreactor",
    "twisted.internet.selectreactor", "twisted.internet.kqreactor",
    "twisted.internet.asyncioreactor", "asyncio.base_events", "asyncio.events",
    "asyncio.runners", "selectors", "twisted.python.log", "twisted.python.context",
})  # fmt: skip


class Watchdog(service.Service):
    """Logs calls that block `reactor` for `seconds` or longer.

    The reactor must be run by the thread that starts this service. A plugin is named if a frame of
    the stack is in its module. A call that takes half as long again is always seen, and one that
    takes half as long never.
    """

    _log = Logger()

    def __init__(self, reactor: IReactorTime, seconds: float, plugins: Iterable[Bound] = ()):
        self.name = "watchdog"
        self._reactor = reactor
        self._seconds = seconds
        self._places = _places(plugins)
        self._first_round: IDelayedCall | None = None
        self._over = threading.Event()  # ends the thread that was started last

    def startService(self) -> None:
        """Begin in the reactor's next round, because what blocks during the start does no harm."""
        super().startService()
        self._over = threading.Event()
        self._first_round = self._reactor.callLater(0, self._begin)

    def stopService(self) -> None:
        """Tell the thread to end; it does so at once."""
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
        """The plugins that the innermost frame of a plugin may belong to; "" if there is none."""
        for frame in reversed(frames):
            plugin = self._places.get(frame.f_code.co_filename)
            if plugin:
                return plugin
        return ""


class Watch:
    """Watches one thread, given by its number: call `look` again and again from another thread.

    `warn(seconds, frames, left_out)` is called once for each call that blocks, `freed(seconds)`
    when it has ended.
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
        self._call: FrameType | None = None  # the call that the reactor is making
        self._since = (0.0, 0.0)  # when the last look did not see it, and when the first did
        self._judged = False  # this call needs no more looks
        self._warned = False
        # By code: when a call was logged, and how often it was not logged since.
        self._named: dict[object, tuple[float, int]] = {}

    def worked(self) -> float:
        """Seconds of CPU time that the thread has used; 0.0 if that cannot be found out."""
        if sys.platform != "linux":
            return 0.0
        return time.clock_gettime(time.pthread_getcpuclockid(self._thread))

    def look(self, now: float, worked: float) -> float:
        """Look once; seconds until the next look. `worked` is what `worked()` gives now."""
        frames = called_by_the_reactor(sys._current_frames().get(self._thread))
        call = frames[0] if frames else None
        between = now - self._looked
        # A call into C that holds the interpreter's lock also keeps us from looking, and uses the
        # CPU.
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
        """Log this call, unless it was logged a moment ago."""
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
    """The frames inwards from the reactor's call; [] if the reactor waits or runs its own code."""
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
