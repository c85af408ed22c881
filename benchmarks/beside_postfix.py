"""mailframe beside Postfix in one run: messages a second and server CPU per 1,000 messages.

    python benchmarks/beside_postfix.py [--rounds 3] [--messages 3000] [--json FILE]

Both sync every message before the 250. `smtp-source` (it comes with Postfix) sends 4 KB
messages over 20 sessions, in turns between the two, with a new connection for each message and
with reused ones. Ratios mean something; absolute rates are this machine's.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "live"))

from live_servers import Host, Postfix, free_port

TOML = """
hostname = "mx.bench.example"
state = "state"
[[listen]]
name = "mx"
endpoint = "tcp:0:interface=127.0.0.1:backlog=500"
limits = {{ connections_per_client = 1000, messages = 100000 }}
[[relay]]
plugin = "inbound"
domains = ["bench.example"]
[[route]]
plugin = "mailboxes"
domains = ["bench.example"]
file = "mailboxes"
deliver = "{agent}"
[queue]
plugin = "sqlite"
[deliver.discard]
plugin = "discard"
[deliver.maildir]
plugin = "maildir"
path = "mail/{{domain}}/{{user}}/Maildir"
"""


@contextmanager
def mailframe(folder: Path, agent: str) -> Iterator[tuple[int, list[int]]]:
    """A host; gives its port and its process ids."""
    with Host(folder, TOML.format(agent=agent), mailboxes="box\n") as host:
        assert host.process.process is not None
        yield host.port(), [host.process.process.pid]


@contextmanager
def postfix(folder: Path, agent: str) -> Iterator[tuple[int, list[int]]]:
    """A Postfix; gives its port and the id of its master."""
    main = {"virtual_mailbox_domains": "bench.example", "virtual_mailbox_maps": "static:box/"}
    if agent == "discard":
        main["virtual_transport"] = "discard:"
    peer = Postfix(folder, free_port(), smtpd_client_connection_count_limit="0", **main)
    with peer:
        master = int((folder / "queue" / "pid" / "master.pid").read_text())
        yield peer.port, [master]


def cpu_seconds(roots: list[int]) -> float:
    """User and system seconds of these processes, their children and those that ended."""
    ticks = os.sysconf("SC_CLK_TCK")
    parents: dict[int, list[int]] = {}
    spent: dict[int, float] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
            spent[int(entry.name)] = sum(map(int, fields[11:15])) / ticks
    total, waiting = 0.0, list(roots)
    while waiting:
        pid = waiting.pop()
        total += spent.get(pid, 0.0)
        waiting += parents.get(pid, [])
    return total


def send(port: int, messages: int, reuse: bool) -> float:
    """Seconds that smtp-source took."""
    program = shutil.which("smtp-source") or "/usr/sbin/smtp-source"
    words = ["-s", "20", "-m", str(messages), "-l", "4096", "-c", *([] if not reuse else ["-d"])]
    start = time.perf_counter()
    subprocess.run(
        [program, *words, "-f", "a@client.example", "-t", "box@bench.example", f"127.0.0.1:{port}"],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return time.perf_counter() - start


def main() -> None:
    """Runs the scenarios and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--messages", type=int, default=3000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows: dict[tuple[str, str], list[tuple[float, float]]] = {}
    with ExitStack() as stack:
        base = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for agent in ("discard", "maildir"):
            peers = {
                "postfix": stack.enter_context(postfix(base / f"postfix-{agent}", agent)),
                "mailframe": stack.enter_context(mailframe(base / f"mailframe-{agent}", agent)),
            }
            for port, _ in peers.values():
                send(port, 100, reuse=False)
            for number in range(options.rounds):
                for reuse in (False, True):
                    for name, (port, pids) in peers.items():
                        before = cpu_seconds(pids)
                        took = send(port, options.messages, reuse)
                        used = (cpu_seconds(pids) - before) / options.messages * 1000
                        scenario = f"{agent}, {'reused' if reuse else 'new'} connections"
                        rows.setdefault((scenario, name), []).append(
                            (options.messages / took, used)
                        )
                        line = f"{number + 1}: {scenario}: {name}: {options.messages / took:.0f}/s"
                        print(line, file=sys.stderr, flush=True)
    report(rows, options.json)


def report(rows: dict[tuple[str, str], list[tuple[float, float]]], file: Path | None) -> None:
    """Prints medians and the ratio; writes all figures as JSON."""
    medians = {
        key: tuple(statistics.median(column) for column in zip(*figures, strict=True))
        for key, figures in rows.items()
    }
    print(f"{'scenario':32} {'server':10} {'msg/s':>8} {'CPU s/1000':>11} {'ratio':>6}")
    for (scenario, name), (rate, used) in medians.items():
        ratio = rate / medians[scenario, "postfix"][0]
        print(f"{scenario:32} {name:10} {rate:8.0f} {used:11.2f} {ratio:6.2f}")
    if file is not None:
        file.write_text(
            json.dumps([{"scenario": s, "server": n, "runs": v} for (s, n), v in rows.items()])
        )


if __name__ == "__main__":
    main()
