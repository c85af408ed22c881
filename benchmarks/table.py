"""The results of the rounds: medians, the table, the goals, and the JSON."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import asdict, astuple, dataclass, field
from pathlib import Path
from typing import Any

from .scenarios import IDLE, Figures

BASE = "postfix"  # the server with which the table compares


@dataclass
class Results:
    """Everything that was measured: rounds by (scenario, server), and idle costs by server."""

    rounds: dict[tuple[str, str], list[Figures]] = field(default_factory=dict)
    idling: dict[str, dict[str, float]] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    def write(self, file: Path, folder: Path) -> None:
        """Write all rounds and the medians as JSON."""
        scenarios = [
            {
                "scenario": scenario,
                "server": name,
                "median": asdict(medians(rounds)),
                "rounds": [asdict(each) for each in rounds],
            }
            for (scenario, name), rounds in self.rounds.items()
        ]
        content = {
            "machine": machine(folder),
            "scenarios": scenarios,
            "idle": self.idling,
            "goals": list(judged(self)),
            "failed": self.failed,
        }
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content, indent=2) + "\n")


def machine(folder: Path) -> dict[str, Any]:
    """The machine; the cost of a sync depends on the file system of `folder`."""
    words = ["findmnt", "-n", "-o", "FSTYPE", "-T", str(folder)]
    found = subprocess.run(words, capture_output=True, text=True, check=False)
    return {
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "file system": found.stdout.strip(),
    }


def medians(rounds: Sequence[Figures]) -> Figures:
    """The median of each figure."""
    columns: list[Any] = [
        None if None in column else statistics.median(column)
        for column in zip(*map(astuple, rounds), strict=True)
    ]
    return Figures(*columns)


def ratio(ours: Sequence[Figures], theirs: Sequence[Figures], figure: str = "messages") -> float:
    """The median of the rounds' ratios. Both servers of a round were measured within seconds."""
    pairs = zip(ours, theirs, strict=False)
    return float(statistics.median(getattr(a, figure) / getattr(b, figure) for a, b in pairs))


def table(results: Results) -> str:
    """The medians; "x Postfix" compares messages a second."""
    lines = [
        f"{'':31}{'':14}{'accepted/s':>10}{'x Postfix':>10}{'delivered/s':>12}{'CPU s/1,000':>12}"
        f"{'cores':>6}{'peak MB':>8}{'+MB':>6}{'p50 ms':>8}{'p99 ms':>8}"
    ]
    for (scenario, name), rounds in results.rounds.items():
        got = medians(rounds)
        beside = results.rounds.get((scenario, BASE))
        times = f"{ratio(rounds, beside):.2f}" if beside else ""
        delivered = f"{got.delivered:.0f}" if got.delivered else ""
        rate = f"{got.messages:.{0 if got.messages >= 20 else 1}f}"
        lines.append(
            f"{scenario:31}{name:14}{rate:>10}{times:>10}{delivered:>12}{got.cpu:12.2f}"
            f"{got.cores:6.2f}{_megabytes(got.memory):>8}{_megabytes(got.grown):>6}"
            f"{got.p50 * 1e3:8.1f}{got.p99 * 1e3:8.1f}"
        )
    for name, cost in results.idling.items():
        lines.append(
            f"idle: {name}: {_megabytes(cost['memory'])} MB, {cost['session'] / 1024:.1f} KB a "
            f"session, {cost['cpu']:.2f} s of CPU a minute beside {IDLE} sessions"
        )
    return "\n".join(lines)


@dataclass(frozen=True)
class Goal:
    """A goal for `server`: a figure, or a multiple of the figure of `beside`."""

    scenario: str
    figure: str
    least: float | None = None
    most: float | None = None
    server: str = "mailframe"
    beside: str | None = None


GOALS = (
    Goal("accept, new connections", "messages", least=3, beside=BASE),
    Goal("accept, reused connections", "messages", least=4.5, beside=BASE),
    Goal("to Maildir, new connections", "delivered", least=2, beside=BASE),
    Goal("to Maildir, reused connections", "delivered", least=2, beside=BASE),
    Goal("relay, new connections", "delivered", least=2, beside=BASE),
    Goal("relay, reused connections", "delivered", least=2, beside=BASE),
    Goal("STARTTLS, new connections", "messages", least=1, beside=BASE),
    Goal("accept, new connections", "cpu", most=0.35),
    Goal("accept, reused connections", "cpu", most=0.2),
    Goal("50 MB messages, one at a time", "grown", most=20 << 20),
    Goal("50 MB messages, four at once", "grown", most=20 << 20),
    Goal("accept, new connections", "messages", 1, server="mailframe-2", beside="mailframe"),
    Goal("accept, reused connections", "messages", 1, server="mailframe-2", beside="mailframe"),
    Goal("STARTTLS, new connections", "messages", 1, server="mailframe-2", beside="mailframe"),
)


def judged(results: Results) -> Iterator[dict[str, Any]]:
    """Each goal that was measured: what was reached, and if that is enough."""
    for goal in GOALS:
        ours = results.rounds.get((goal.scenario, goal.server))
        theirs = results.rounds.get((goal.scenario, goal.beside or goal.server))
        if not ours or not theirs:
            continue
        if goal.beside:
            value = ratio(ours, theirs, goal.figure)
        else:
            value = getattr(medians(ours), goal.figure)
        enough = value >= goal.least if goal.least is not None else value <= (goal.most or 0.0)
        yield {**asdict(goal), "reached": value, "met": enough}


def verdicts(results: Results) -> str:
    """The goals, one in a line."""
    lines = []
    for goal in judged(results):
        unit = 2**20 if goal["figure"] == "grown" else 1
        limit = goal["least"] if goal["least"] is not None else goal["most"] / unit
        figure = {"cpu": "CPU s/1,000", "grown": "MB more", "messages": "accepted/s",
                  "delivered": "delivered/s"}[goal["figure"]]  # fmt: skip
        lines.append(
            f"goal: {goal['server']}: {goal['scenario']}: {figure}"
            f"{' x ' + goal['beside'] if goal['beside'] else ''}: {goal['reached'] / unit:.2f}, "
            f"{'at least' if goal['least'] is not None else 'at most'} {limit:g}: "
            f"{'met' if goal['met'] else 'MISSED'}"
        )
    return "\n".join(lines)


def _megabytes(octets: float) -> str:
    return f"{octets / 2**20:.0f}"
