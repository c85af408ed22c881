"""Sends messages with STARTTLS and a full handshake for each, many sessions in one thread.

    python benchmarks/tls_load.py PORT MESSAGES OCTETS SESSIONS

smtp-source cannot do this. It is one process with one epoll and precomputed octets, and resumes no
session.
"""

from __future__ import annotations

import select
import socket
import ssl
import sys
from collections.abc import Generator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from client import PATIENCE, STARTTLS, commands, trusting, whole

Session = Generator[int, None, None]  # what it waits for, select.EPOLLIN or EPOLLOUT


def reply(sock: socket.socket) -> Session:
    """Read one whole reply."""
    heard = b""
    while not whole(heard):
        try:
            piece = sock.recv(4096)
        except (BlockingIOError, ssl.SSLWantReadError):
            yield select.EPOLLIN
            continue
        if not piece:
            raise ConnectionError(f"the server hung up after {heard!r}")
        heard += piece


def speak(sock: socket.socket, spoken: tuple[bytes, ...]) -> Session:
    """Send each of these, and read its reply."""
    for octets in spoken:
        rest = memoryview(octets)
        while rest:
            try:
                rest = rest[sock.send(rest) :]
            except (BlockingIOError, ssl.SSLWantWriteError):
                yield select.EPOLLOUT
        # The reply cannot be there yet, so reading now would be a wasted call.
        yield select.EPOLLIN
        yield from reply(sock)


def session(sock: socket.socket, context: ssl.SSLContext, spoken: tuple[bytes, ...]) -> Session:
    """Send one message."""
    yield select.EPOLLIN
    yield from reply(sock)
    yield from speak(sock, STARTTLS)
    with context.wrap_socket(sock, do_handshake_on_connect=False) as inside:
        while True:
            try:
                inside.do_handshake()
                break
            except ssl.SSLWantReadError:
                yield select.EPOLLIN
            except ssl.SSLWantWriteError:
                yield select.EPOLLOUT
        yield from speak(inside, spoken)


class Crowd:
    """Many sessions at once, until all messages are accepted."""

    def __init__(self, port: int, messages: int, size: int) -> None:
        self._port = port
        self._left = messages
        self._spoken = commands(size)
        self._context = trusting()
        self._epoll = select.epoll()
        self._sessions: dict[int, tuple[Session, int]] = {}

    def run(self, sessions: int) -> None:
        """Send all. ConnectionError if the server refuses, TimeoutError if it is silent."""
        for _ in range(sessions):
            self._begin()
        while self._sessions:
            ready = self._epoll.poll(PATIENCE)
            if not ready:
                raise TimeoutError(f"no session had an answer within {PATIENCE} s")
            for number, _ in ready:
                self._go_on(number)

    def _begin(self) -> None:
        if not self._left:
            return
        self._left -= 1
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.connect_ex(("127.0.0.1", self._port))
        one = session(sock, self._context, self._spoken)
        self._epoll.register(sock.fileno(), next(one))
        self._sessions[sock.fileno()] = one, select.EPOLLIN

    def _go_on(self, number: int) -> None:
        one, waits_for = self._sessions[number]
        try:
            wanted = next(one)
        except StopIteration:
            del self._sessions[number]  # its socket is closed, so epoll has dropped it
            self._begin()
            return
        if wanted != waits_for:
            self._epoll.modify(number, wanted)
            self._sessions[number] = one, wanted


if __name__ == "__main__":
    port, messages, size, sessions = map(int, sys.argv[1:])
    Crowd(port, messages, size).run(sessions)
