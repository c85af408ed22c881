"""aiosmtpd from PyPI with a handler that stores mail durably (`aiosmtpd_server.py`)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from live_servers import Process, free_port

from .running import PEERS, Running, certificate, running


@contextmanager
def aiosmtpd(folder: Path, task: str, sink: int) -> Iterator[Running | None]:
    """Runs it; None for "relay", which it cannot do."""
    python = PEERS / "aiosmtpd" / "bin" / "python"
    if not python.exists() or task == "relay":
        yield None
        return
    port = free_port()
    folder.mkdir(parents=True)
    script = Path(__file__).with_name("aiosmtpd_server.py")
    files = certificate(folder) if task == "tls" else ()
    # -P, because the script must not import this file, which is beside it, as aiosmtpd.
    process = Process(folder, [python, "-P", script, str(port), task, folder / "box", *files])
    with running(process, port, folder / "box") as server:
        yield server
