"""mailframe beside Postfix, Exim and aiosmtpd in one run, in turns.

    python -m benchmarks [--rounds 3] [--messages 3000] [--only PART] [--peers a,b] [--json FILE]

`benchmarks/install_peers` fetches the others; who is not there is said and left out. Load is
4 KB messages over 20 sessions of `smtp-source`; waits are those of one more client beside it.
The medians of all rounds are shown. Ratios mean something; absolute rates are this machine's.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, astuple
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "live"))

from . import load
from .load import Sink
from .peers import PEERS_BY_NAME, Running
from .scenarios import IDLE, SCENARIOS, Figures, Scenario, idle, play

Rows = dict[tuple[str, str], list[Figures]]


def main() -> None:
    """Runs the scenarios, prints the table, writes the JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--messages", type=int, default=3000)
    parser.add_argument("--only", default="", help="scenarios with this in their name")
    parser.add_argument("--peers", default=",".join(PEERS_BY_NAME))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows: Rows = {}
    idling: dict[str, dict[str, float]] = {}
    scenarios = [each for each in SCENARIOS if options.only in each.name]
    for task in dict.fromkeys(each.task for each in scenarios):
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            sink = stack.enter_context(Sink())
            servers = ready(stack, folder, task, sink, options.peers.split(","))
            for name, server in servers.items():
                if task == "discard":
                    idling[name] = idle(server)
                warm_up(server, task, sink)
            for number in range(options.rounds):
                for scenario in [each for each in scenarios if each.task == task]:
                    a_round(number + 1, scenario, servers, sink, options.messages, rows)
    print(table(rows))
    for name, cost in idling.items():
        print(f"idle: {name}: {_megabytes(cost['memory'])} MB, {cost['session'] / 1024:.1f} KB a "
              f"session, {cost['cpu']:.2f} s of CPU a minute beside {IDLE} sessions")  # fmt: skip
    if options.json:
        write(options.json, rows, idling)


def ready(
    stack: ExitStack, folder: Path, task: str, sink: Sink, names: list[str]
) -> dict[str, Running]:
    """The servers that can do this task, started."""
    servers: dict[str, Running] = {}
    for name in names:
        server = stack.enter_context(PEERS_BY_NAME[name](folder / name, task, sink.port))
        if server is None:
            print(f"{task}: {name} is left out: not installed, or not set up for it here",
                  file=sys.stderr)  # fmt: skip
        else:
            servers[name] = server
    return servers


def warm_up(server: Running, task: str, sink: Sink) -> None:
    """A few messages, so that nobody's first ones are counted."""
    before = server.delivered() if task == "maildir" else sink.received()
    load.send(server.port, 100, 1024, reuse=False)
    if task == "maildir":
        load.until(server.delivered, before + 100)
    elif task == "relay":
        load.until(sink.received, before + 100)


def a_round(
    number: int,
    scenario: Scenario,
    servers: dict[str, Running],
    sink: Sink,
    messages: int,
    rows: Rows,
) -> None:
    """Every server once."""
    for name, server in servers.items():
        figures = play(scenario, server, sink, messages)
        rows.setdefault((scenario.name, name), []).append(figures)
        said = f"{number}: {scenario.name}: {name}: {figures.messages:.0f}/s"
        print(said, file=sys.stderr, flush=True)


def medians(rounds: list[Figures]) -> Figures:
    """The median of each figure."""
    columns: list[Any] = [
        None if None in column else statistics.median(column)
        for column in zip(*map(astuple, rounds), strict=True)
    ]
    return Figures(*columns)


def table(rows: Rows) -> str:
    """The medians; "x Postfix" compares messages a second."""
    lines = [
        f"{'':32}{'':11}{'accepted/s':>11}{'x Postfix':>10}{'delivered/s':>12}"
        f"{'CPU s/1,000':>12}{'peak MB':>9}{'p50 ms':>8}{'p99 ms':>8}"
    ]
    for (scenario, name), rounds in sorted(rows.items()):
        got = medians(rounds)
        beside = rows.get((scenario, "postfix"))
        ratio = f"{got.messages / medians(beside).messages:.2f}" if beside else ""
        delivered = f"{got.delivered:.0f}" if got.delivered else ""
        lines.append(
            f"{scenario:32}{name:11}{got.messages:11.0f}{ratio:>10}{delivered:>12}{got.cpu:12.2f}"
            f"{_megabytes(got.memory):>9}{got.p50 * 1e3:8.1f}{got.p99 * 1e3:8.1f}"
        )
    return "\n".join(lines)


def write(file: Path, rows: Rows, idling: dict[str, dict[str, float]]) -> None:
    """All rounds and the medians."""
    scenarios = [
        {
            "scenario": scenario,
            "server": name,
            "median": asdict(medians(rounds)),
            "rounds": [asdict(each) for each in rounds],
        }
        for (scenario, name), rounds in rows.items()
    ]
    file.write_text(json.dumps({"scenarios": scenarios, "idle": idling}, indent=2) + "\n")


def _megabytes(octets: float) -> str:
    return f"{octets / 2**20:.0f}"


if __name__ == "__main__":
    main()
