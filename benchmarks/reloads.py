"""Makes many connections while a host with two workers is reloaded again and again.

    python -m benchmarks.reloads [--connections 10000] [--at-once 200] [--linger 1] [--json FILE]

It starts a real twistd with the SQLite queue and a Maildir. A session sends one message and takes
up to `--linger` seconds. The exit status is 0 if no connection is refused, no session breaks, and
every message that got its 250 is delivered.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "live"))

from live_servers import Host, wait_for
from session_load import Load

from .load import until
from .peers.mailframe import settings
from .peers.running import Running


def reload(host: Host) -> float:
    """Send SIGHUP to the supervisor; the seconds until all its workers are new ones."""
    assert host.process.process is not None
    before = host.process.said().count("Supervisor#info] reloaded")
    began = time.perf_counter()
    os.kill(host.process.process.pid, signal.SIGHUP)
    wait_for(
        lambda: host.process.said().count("Supervisor#info] reloaded") > before, 60, "the reload"
    )
    return time.perf_counter() - began


def measure(connections: int, at_once: int, linger: float) -> dict[str, Any]:
    """Run it; the results by name. `troubles` counts everything that went wrong."""
    with tempfile.TemporaryDirectory(prefix="mailframe-reloads-") as folder:
        toml = settings("maildir", workers=2)
        with Host(Path(folder), toml, mailboxes="box\n") as host:
            load = Load("127.0.0.1", host.port(), connections, at_once, linger, "box@bench.example")
            began = time.perf_counter()
            thread = load.start()
            times = []
            try:
                while thread.is_alive():
                    times.append(reload(host))
                    print(f"reload {len(times)}: {times[-1]:.1f} s, "
                          f"{len(load.accepted)} accepted", file=sys.stderr)  # fmt: skip
            finally:
                load.stopped = True
                thread.join()
            took = time.perf_counter() - began
            maildir = Path(folder) / "mail" / "bench.example" / "box" / "Maildir"
            arrived = Running(0, 0, maildir).delivered
            until(arrived, len(load.accepted))
            return {
                "connections": connections,
                "seconds": round(took, 1),
                "reloads": len(times),
                "longest_reload_s": round(max(times), 1),
                "accepted": len(load.accepted),
                "delivered": arrived(),
                "troubles": dict(load.troubles),
            }


def main() -> None:
    """Measure, and print the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--connections", type=int, default=10000)
    parser.add_argument("--at-once", type=int, default=200)
    parser.add_argument("--linger", type=float, default=1.0, help="seconds of a session, at most")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    options = parser.parse_args()
    found = measure(options.connections, options.at_once, options.linger)
    for name, value in found.items():
        print(f"{name:20} {value!s:>12}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    sys.exit(0 if found["accepted"] == found["delivered"] == options.connections else 1)


if __name__ == "__main__":
    main()
