"""A fuzzer with an oracle: random sessions, valid and mangled, against a real server.

    python tests/fuzz/fuzz_run.py [--seed N] [--seconds 60 | --sessions 5000] [--live]
    python tests/fuzz/fuzz_run.py --replay SEED:INDEX [--live]
    python tests/fuzz/fuzz_run.py --outbound | --queue [--seed N] [--seconds 60 | --sessions 5000]
    python tests/fuzz/fuzz_run.py --outbound | --queue --replay SEED:INDEX

The server is a Reception in this process on loopback, with --live a whole twistd (SQLite,
Maildir). Each session is a plan out of its seed and index; an independent model hears what the
server says (fuzz_model). A healthy session runs beside them all the time. Whatever the model
does not allow ends the run with the seed and the transcript of the session.

With --outbound and --queue nothing is on the wire: rounds on a virtual clock of deliveries to
servers that answer at random (fuzz_outbound), or of aliases, agents and the queue (fuzz_queue).
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fuzz_model import Sent
from fuzz_place import InProcess, Live
from fuzz_plan import Plan, healthy_plan, make_plan
from fuzz_replies import Broken
from fuzz_rounds import play_outbound, play_queue, run_rounds
from fuzz_session import Session
from twisted.logger import globalLogBeginner

THREADS = 6
WARM_UP = 80  # looks at the memory, ten a second, before it must stand
GROWTH = 48 << 20  # octets of memory that a run may add after that, or after its first tenth


@dataclass
class Fuzz:
    """One run. `failure` is what the oracle found, "" for nothing."""

    place: Any
    seed: str
    seconds: float = 0.0
    sessions: int = 0
    tell: Callable[[str], None] = print
    failure: str = ""
    done: int = 0
    healthy: int = 0
    accepted: int = 0
    slowest: float = 0.0
    unheard: dict[int, list[Sent]] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._until = time.monotonic() + self.seconds if self.seconds else 0.0
        self._memory: list[int] = []

    def run(self) -> None:
        """Until the end, an interruption or a failure."""
        workers = [threading.Thread(target=self._work) for _ in range(THREADS)]
        beside = threading.Thread(target=self._be_healthy)
        for thread in (*workers, beside):
            thread.start()
        try:
            self._watch(workers)
        except KeyboardInterrupt:
            self.tell("interrupted")
        finally:
            self.stop.set()
            for thread in (*workers, beside):
                thread.join()
        if not self.failure:
            self._settle()

    def _watch(self, workers: list[threading.Thread]) -> None:
        began = told = time.monotonic()
        while any(worker.is_alive() for worker in workers) and not self.failure:
            time.sleep(0.1)
            now = time.monotonic()
            self._memory.append(memory_of(self.place.pid))
            if now - told > 5:
                told = now
                self.tell(f"{now - began:5.0f} s  {self}")

    def __str__(self) -> str:
        used = self._memory[-1] >> 20 if self._memory else 0
        return (
            f"{self.done} sessions, {self.accepted} messages, {self.healthy} healthy sessions, "
            f"slowest reply {self.slowest:.2f} s, {used} MB"
        )

    def _over(self) -> bool:
        if self.stop.is_set() or self.failure:
            return True
        return bool(self._until) and time.monotonic() > self._until

    def _work(self) -> None:
        while not self._over():
            with self._lock:
                index = next(self._numbers)
            if self.sessions and index >= self.sessions:
                return
            self.play(f"{self.seed}:{index}", make_plan(f"{self.seed}:{index}"))
            self.done += 1

    def _be_healthy(self) -> None:
        for number in itertools.count():
            if self._over():
                return
            session = self.play(f"the healthy session {number}", healthy_plan(number))
            if len(session.model.acknowledged) != 2 or session.model.refusals:
                self._fail(f"the healthy session {number} was refused", session)
            self.healthy += 1
            time.sleep(0.02)

    def play(self, name: str, plan: Plan) -> Session:
        """One session and what is known of it afterwards."""
        session = Session(plan, self.place.ports, self.place.cadata)
        try:
            session.run()
            for id, sent in session.model.acknowledged.items():
                self.place.check(id, sent)
        # Whatever went wrong belongs to this session.
        except Exception as wrong:
            self._fail(f"{name}: {type(wrong).__name__}: {wrong}", session)
        with self._lock:
            self.accepted += len(session.model.acknowledged)
            self.slowest = max(self.slowest, session.slowest)
            if session.model.unheard is not None:
                self.unheard.setdefault(session.port, []).append(session.model.unheard)
        if self.place.faults:
            self._fail(f"{name} (or one beside it): the server's log: {self.place.faults[0]}")
        return session

    def _fail(self, what: str, session: Session | None = None) -> None:
        with self._lock:
            if not self.failure:
                self.failure = what if session is None else f"{what}\n{session.shown()}"

    def _settle(self) -> None:
        """What can be judged at the end only."""
        time.sleep(0.5)
        try:
            self.place.settle(self.unheard)
        except Broken as wrong:
            self._fail(f"seed {self.seed}: {wrong}")
        early = self._memory[: max(WARM_UP, len(self._memory) // 10)]
        if early and self._memory[-1] - max(early) > GROWTH:
            self._fail(f"memory grew from {max(early) >> 20} to {self._memory[-1] >> 20} MB")


def memory_of(pid: int) -> int:
    """Octets in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _replay(place: Any, name: str) -> str:
    """Play one session and show it; what the oracle found."""
    fuzz = Fuzz(place, name.rpartition(":")[0])
    print(fuzz.play(name, make_plan(name)).shown())
    return fuzz.failure


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", default=str(random.randrange(10**9)))
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--sessions", type=int, default=0)
    parser.add_argument("--live", action="store_true", help="against a real twistd")
    parser.add_argument("--outbound", action="store_true", help="deliveries to random servers")
    parser.add_argument("--queue", action="store_true", help="aliases and the queue's scheduler")
    parser.add_argument("--replay", metavar="SEED:INDEX", help="one session, shown")
    options = parser.parse_args()
    if not options.seconds and not options.sessions:
        options.seconds = 60.0
    return options


def _report(fuzz: Fuzz, failure: str) -> int:
    print(f"seed {fuzz.seed}: {fuzz}")
    if failure:
        print(f"FAILED (replay with --replay SEED:INDEX): {failure}")
    return 1 if failure else 0


def main() -> int:
    """The exit status: 0 where nothing was found."""
    options = _options()
    print(f"seed {options.seed}", flush=True)
    if options.outbound or options.queue:
        return _virtual(options)
    stop = threading.Event()

    def work(place: Any) -> int:
        if options.replay:
            failure = _replay(place, options.replay)
            print(failure or "nothing wrong")
            return 1 if failure else 0
        tell = lambda line: print(line, flush=True)  # noqa: E731
        fuzz = Fuzz(place, options.seed, options.seconds, options.sessions, tell, stop=stop)
        fuzz.run()
        return _report(fuzz, fuzz.failure)

    if options.live:
        with tempfile.TemporaryDirectory(prefix="mailframe-fuzz-") as folder:
            place = Live(Path(folder))
            with place.running():
                return work(place)
    return _in_process(work, stop)


def _virtual(options: argparse.Namespace) -> int:
    """Rounds on a virtual clock; what they log is judged, not shown."""
    globalLogBeginner.beginLoggingTo([], discardBuffer=True, redirectStandardIO=False)
    play = play_queue if options.queue else play_outbound
    if options.replay:
        failure, shown = play(options.replay)
        print(shown, failure or "nothing wrong", sep="\n")
        return 1 if failure else 0
    tell = lambda line: print(line, flush=True)  # noqa: E731
    done, failure = run_rounds(
        play, options.seed, seconds=options.seconds, rounds=options.sessions, tell=tell
    )
    print(f"seed {options.seed}: {done} rounds")
    if failure:
        print(f"FAILED (replay with --replay SEED:INDEX): {failure}")
    return 1 if failure else 0


def _in_process(work: Callable[[Any], int], stop: threading.Event) -> int:
    from twisted.internet import reactor as installed
    from twisted.internet.defer import Deferred, ensureDeferred
    from twisted.internet.threads import deferToThread

    reactor: Any = installed
    status = [2]
    interrupted: list[bool] = []
    finished: Deferred[None] = Deferred()

    async def run() -> None:
        place = InProcess(reactor)
        place.start()
        try:
            status[0] = await deferToThread(work, place)
        finally:
            await place.stop()
        if status[0] == 0 and place.faults:
            print("FAILED:", *place.faults, sep="\n")
            status[0] = 1

    def ended(failure: Any) -> None:
        if failure is not None:
            failure.printTraceback()
        finished.callback(None)
        if not interrupted:
            reactor.stop()

    def shut_down() -> Deferred[None]:
        """Ctrl-C too: the sessions that run are finished, and all is judged."""
        interrupted.append(True)
        stop.set()
        return finished

    reactor.addSystemEventTrigger("before", "shutdown", shut_down)
    reactor.callWhenRunning(lambda: ensureDeferred(run()).addBoth(ended))
    reactor.run()
    return status[0]


if __name__ == "__main__":
    sys.exit(main())
