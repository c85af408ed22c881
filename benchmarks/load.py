"""The load: smtp-source, or our own program for STARTTLS; and smtp-sink, which receives it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from live_servers import answers, free_port, wait_for

SENDER, RECIPIENT = "a@client.example", "box@bench.example"
SESSIONS = 20


def program(name: str) -> str:
    """The path of one of Postfix's programs."""
    return shutil.which(name) or f"/usr/sbin/{name}"


def send(port: int, messages: int, size: int, *, reuse: bool, sessions: int = SESSIONS) -> float:
    """Send so many messages, until the last one has its 250.

    Returns the seconds of CPU time that the load itself took.
    """
    words = [program("smtp-source"), "-s", str(sessions), "-m", str(messages), "-l", str(size)]
    words += ["-d"] if reuse else []
    words += ["-f", SENDER, "-t", RECIPIENT, f"127.0.0.1:{port}"]
    return _run(words)


def send_over_tls(port: int, messages: int, size: int, sessions: int = SESSIONS) -> float:
    """The same with STARTTLS and a full handshake for each message, which smtp-source cannot do."""
    script = Path(__file__).with_name("tls_load.py")
    return _run([sys.executable, str(script), *map(str, (port, messages, size, sessions))])


def _run(words: list[str]) -> float:
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    try:
        _, status, spent = os.wait4(process.pid, 0)
    except BaseException:
        process.kill()
        process.wait()
        raise
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, words)
    return spent.ru_utime + spent.ru_stime


class Sink:
    """smtp-sink on a port. `received()` counts its messages."""

    def __init__(self) -> None:
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._count = 0
        self._reader: threading.Thread | None = None

    def __enter__(self) -> Sink:
        words = [program("smtp-sink"), "-c", "-u", "nobody", f"127.0.0.1:{self.port}", "500"]
        self._process = subprocess.Popen(words, stdout=subprocess.PIPE)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        wait_for(lambda: answers(self.port), name="smtp-sink")
        return self

    def _read(self) -> None:
        """Read what smtp-sink prints: "sess=1 quit=1 mesg=1", again and again in one line."""
        assert self._process is not None and self._process.stdout is not None
        rest = b""
        while octets := self._process.stdout.read1(1 << 16):
            rows = (rest + octets).split(b"\r")
            rest = rows.pop()
            counts = [row.rpartition(b"mesg=")[2].split() for row in rows if b"mesg=" in row]
            if counts and counts[-1]:
                self._count = int(counts[-1][0])

    def received(self) -> int:
        """Messages so far."""
        return self._count

    def __exit__(self, *_exc: object) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait()


def until(count: Callable[[], int], wanted: int, patience: float = 10.0) -> None:
    """Wait until `count()` reaches `wanted`. AssertionError if it stands still for `patience`."""
    last, since = count(), time.monotonic()
    while last < wanted:
        time.sleep(0.02)
        now = count()
        if now != last:
            last, since = now, time.monotonic()
        assert time.monotonic() - since < patience, f"only {last} of {wanted} were delivered"
