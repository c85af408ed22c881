"""The clients: smtp-source for load, a probe beside it that measures waits; and smtp-sink."""

from __future__ import annotations

import shutil
import smtplib
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from live_servers import answers, free_port, wait_for

SENDER, RECIPIENT = "a@client.example", "box@bench.example"
SESSIONS = 20
PROBE_EVERY = 0.02  # seconds
_LINE = "x" * 62


def program(name: str) -> str:
    """Where one of Postfix's programs is."""
    return shutil.which(name) or f"/usr/sbin/{name}"


def send(port: int, messages: int, size: int, *, reuse: bool, sessions: int = SESSIONS) -> None:
    """Send so many messages; returns when the last one has its 250."""
    words = [program("smtp-source"), "-s", str(sessions), "-m", str(messages), "-l", str(size)]
    words += ["-d"] if reuse else []
    words += ["-f", SENDER, "-t", RECIPIENT, f"127.0.0.1:{port}"]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


def send_over_tls(port: int, messages: int, size: int, sessions: int = SESSIONS) -> None:
    """The same with STARTTLS and a full handshake for each message; smtp-source cannot."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    def one(_: int) -> None:
        with smtplib.SMTP("127.0.0.1", port, "client.example") as client:
            client.starttls(context=context)
            client.sendmail(SENDER, RECIPIENT, message(size))

    with ThreadPoolExecutor(sessions) as pool:
        list(pool.map(one, range(messages)))


def message(size: int) -> str:
    """A message of about so many octets."""
    return "Subject: bench\r\n\r\n" + f"{_LINE}\r\n" * (size // 64)


class Probe:
    """One more client, a connection for each message, while this context is open.

    `waits` are seconds from dialling to the 250 of each message.
    """

    def __init__(self, port: int, size: int = 1024) -> None:
        self._port = port
        self._size = size
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.waits: list[float] = []

    def _run(self) -> None:
        while not self._ended.wait(PROBE_EVERY):
            start = time.perf_counter()
            with smtplib.SMTP("127.0.0.1", self._port, "client.example") as client:
                client.sendmail(SENDER, RECIPIENT, message(self._size))
                self.waits.append(time.perf_counter() - start)

    def __enter__(self) -> Probe:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._ended.set()
        self._thread.join()


class Sink:
    """smtp-sink on a port; `received()` counts."""

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
        """smtp-sink draws "sess=1 quit=1 mesg=1" again and again in one line."""
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
    """Returns once `count()` is there; AssertionError where it stands still for so long."""
    last, since = count(), time.monotonic()
    while last < wanted:
        time.sleep(0.02)
        now = count()
        if now != last:
            last, since = now, time.monotonic()
        assert time.monotonic() - since < patience, f"only {last} of {wanted} were delivered"
