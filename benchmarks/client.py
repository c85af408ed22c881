"""A small client, which measures one session with precomputed octets over a blocking socket.

The server runs on the same machine and loses the CPU time that the client takes. So the client
parses no more than necessary.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time

SENDER, RECIPIENT = "a@client.example", "box@bench.example"
PATIENCE = 30  # seconds for one reply
_LINE = b"x" * 62 + b"\r\n"


def message(size: int) -> bytes:
    """A message of about so many octets."""
    return b"Subject: bench\r\n\r\n" + _LINE * (size // 64)


def commands(size: int) -> tuple[bytes, ...]:
    """What a client sends to deliver one message, one reply after each."""
    return (
        b"EHLO client.example\r\n",
        f"MAIL FROM:<{SENDER}>\r\n".encode(),
        f"RCPT TO:<{RECIPIENT}>\r\n".encode(),
        b"DATA\r\n",
        message(size) + b".\r\n",
        b"QUIT\r\n",
    )


STARTTLS = (b"EHLO client.example\r\n", b"STARTTLS\r\n")


def whole(heard: bytes) -> bool:
    """True if this ends with the last line of a reply. ConnectionError if it is a refusal."""
    if not heard.endswith(b"\r\n"):
        return False
    last = heard[heard.rfind(b"\n", 0, -2) + 1 :]
    if last[3:4] == b"-":
        return False
    if last[:1] not in b"23":
        raise ConnectionError(last.decode(errors="replace").strip())
    return True


def trusting() -> ssl.SSLContext:
    """A context that accepts every certificate and resumes no session."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def say(sock: socket.socket, octets: bytes) -> bytes:
    """Send the octets, and read one whole reply."""
    if octets:
        sock.sendall(octets)
    heard = b""
    while not whole(heard):
        piece = sock.recv(4096)
        if not piece:
            raise ConnectionError(f"the server hung up after {heard!r}")
        heard += piece
    return heard


def bring(port: int, spoken: tuple[bytes, ...], context: ssl.SSLContext | None = None) -> float:
    """Seconds from dialling to the reply to QUIT. With a context, STARTTLS is used."""
    began = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        say(plain, b"")
        sock = plain
        if context is not None:
            for octets in STARTTLS:
                say(plain, octets)
            sock = context.wrap_socket(plain)
        with sock:
            for octets in spoken:
                say(sock, octets)
    return time.perf_counter() - began


class Probe:
    """One additional client, with a connection for each message, while this context is open.

    `waits` are the seconds of each whole session. `cpu` is the seconds of CPU time that the probe
    itself took.
    """

    def __init__(self, port: int, size: int = 1024, *, tls: bool = False) -> None:
        self._port = port
        self._spoken = commands(size)
        self._context = trusting() if tls else None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.every = 0.02  # seconds
        self.waits: list[float] = []
        self.cpu = 0.0
        self.trouble: Exception | None = None

    def _run(self) -> None:
        try:
            while True:  # at least once, however short the load is
                self.waits.append(bring(self._port, self._spoken, self._context))
                if self._ended.wait(self.every):
                    break
        except OSError as trouble:
            self.trouble = trouble
        self.cpu = time.thread_time()

    def __enter__(self) -> Probe:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._ended.set()
        self._thread.join()
        if self.trouble is not None and _exc[0] is None:
            raise self.trouble
