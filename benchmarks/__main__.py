"""mailframe beside Postfix, Exim, OpenSMTPD, Haraka and aiosmtpd in one run, in turns.

    python -m benchmarks [--rounds 3] [--seconds 3] [--only PART] [--peers a,b] [--json FILE]
        [--beside TREE]

`benchmarks/install_peers` installs the others; a server that is missing is named and left out.
"mailframe-2" is mailframe with two workers, and "before" is that of the checkout TREE. The load is
4 KB messages over 20 sessions of `smtp-source`, as many as a server accepts and delivers in so many
seconds. Waits are those of one additional client. The medians of all rounds are shown. Compare the
ratios: absolute rates depend on the machine. Ctrl-C ends it with the table of the results so far.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "live"))

from . import load
from .load import Sink
from .peers import PEERS_BY_NAME, Running, of_tree
from .scenarios import SCENARIOS, Scenario, idle, play
from .table import Results, medians, table, verdicts
from .watch import usage

TROUBLE = (OSError, AssertionError, subprocess.SubprocessError)


def main() -> None:
    """Run the scenarios, print the table, write the JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each round")
    parser.add_argument("--only", default="", help="scenarios with this in their name")
    parser.add_argument("--peers", default=",".join(PEERS_BY_NAME))
    parser.add_argument("--json", type=Path)
    parser.add_argument(
        "--beside", type=Path, help="another checkout of mailframe: the peer before, or before-2"
    )
    parser.add_argument("--folder", type=Path, help="where the servers keep their mail")
    options = parser.parse_args()
    for name in ("smtp-source", "smtp-sink"):
        if shutil.which(load.program(name)) is None:
            parser.error(f"{name} is needed; it comes with Postfix (.ci/run --install-only)")
    if options.beside:
        there = options.beside.resolve()
        PEERS_BY_NAME.update({"before": of_tree(there), "before-2": of_tree(there, workers=2)})
    if unknown := set(options.peers.split(",")) - set(PEERS_BY_NAME):
        parser.error(f"no such peer: {', '.join(unknown)}; there are {', '.join(PEERS_BY_NAME)}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    results = Results()
    interrupted = False
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="mailframe-bench-") as place:
        try:
            run(options, Path(place), results)
        except KeyboardInterrupt:
            interrupted = True
        if options.json:
            results.write(options.json, Path(place))
    print(table(results))
    print(verdicts(results))
    for failure in results.failed:
        print(f"failed: {failure}")
    if interrupted:
        sys.exit(130)
    sys.exit(1 if any("mailframe" in failure for failure in results.failed) else 0)


def run(options: argparse.Namespace, place: Path, results: Results) -> None:
    """Run all tasks, one after another. All servers of a task run while it is measured."""
    scenarios = [each for each in SCENARIOS if options.only in each.name]
    began = time.monotonic()
    for task in dict.fromkeys(each.task for each in scenarios):
        with ExitStack() as stack:
            sink = stack.enter_context(Sink())
            servers = ready(stack, place / task, task, sink, options.peers.split(","), results)
            say(f"{task}: {', '.join(servers)} are ready")
            bench = Bench(sink, servers, results, options.seconds, began)
            bench.begin(task)
            for scenario in [each for each in scenarios if each.task == task]:
                for number in range(options.rounds):
                    bench.a_round(number + 1, scenario)


def ready(
    stack: ExitStack, folder: Path, task: str, sink: Sink, names: list[str], results: Results
) -> dict[str, Running]:
    """Start the servers that can do this task. One that does not start counts as a failure."""
    servers: dict[str, Running] = {}
    for name in names:
        try:
            server = stack.enter_context(PEERS_BY_NAME[name](folder / name, task, sink.port))
        except TROUBLE as trouble:
            results.failed.append(f"{task}: {name}: {trouble!r}")
            say(results.failed[-1])
            continue
        if server is None:
            say(f"{task}: {name} is left out: not installed, or it cannot do this")
        else:
            servers[name] = server
    return servers


@dataclass
class Bench:
    """The servers of one task, and their results. A server that fails is left out."""

    sink: Sink
    servers: dict[str, Running]
    results: Results
    seconds: float
    began: float
    memory: dict[str, float] = field(default_factory=dict)  # octets, when nothing was sent yet

    def begin(self, task: str) -> None:
        """Send a few messages to each server, so that the first ones are not counted."""
        for name, server in list(self.servers.items()):
            try:
                if task == "discard":
                    self.results.idling[name] = idle(server)
                before = server.delivered() if task == "maildir" else self.sink.received()
                load.send(server.port, 100, 1024, reuse=False, sessions=5)
                if task == "maildir":
                    load.until(server.delivered, before + 100)
                    server.empty()
                elif task == "relay":
                    load.until(self.sink.received, before + 100)
                self.memory[name] = usage(server.pid, memory=True).memory
            except TROUBLE as trouble:
                self._leave_out(name, task, trouble)

    def a_round(self, number: int, scenario: Scenario) -> None:
        """Measure every server once. Each round begins with another server."""
        names = list(self.servers)
        turn = (number - 1) % len(names) if names else 0
        for name in names[turn:] + names[:turn]:
            try:
                server = self.servers[name]
                count = scenario.count or self._count(scenario, name)
                figures = play(scenario, server, self.sink, count, self.memory[name])
            except TROUBLE as trouble:
                self._leave_out(name, scenario.name, trouble)
                continue
            self.results.rounds.setdefault((scenario.name, name), []).append(figures)
            minutes, seconds = divmod(int(time.monotonic() - self.began), 60)
            say(f"{minutes:02}:{seconds:02} round {number}: {scenario.name}: {name}: "
                f"{figures.messages:.{0 if figures.messages > 20 else 1}f}/s")  # fmt: skip

    def _count(self, scenario: Scenario, name: str) -> int:
        """How many messages the server accepts and delivers within the time of a round.

        Estimated from its earlier rounds, or from a short try that is not counted.
        """
        rounds = self.results.rounds.get((scenario.name, name))
        least = scenario.sessions * 2
        if rounds:
            known = medians(rounds)
        else:
            known = play(scenario, self.servers[name], self.sink, least * 2, self.memory[name])
        rate = min(known.messages, known.delivered or known.messages)
        return max(least, int(rate * self.seconds))

    def _leave_out(self, name: str, where: str, trouble: BaseException) -> None:
        self.servers.pop(name)
        self.results.failed.append(f"{where}: {name}: {trouble!r}")
        say(self.results.failed[-1])


def say(line: str) -> None:
    """Print progress, to standard error. Only the table goes to standard output."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
