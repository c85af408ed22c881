"""The files of this machine, /etc/hosts and /etc/resolv.conf, which are read again when changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from twisted.logger import Logger

from ..files.watched import WatchedFile, significant_lines
from ..names.ip import ip_or_none
from .servers import Server

T = TypeVar("T")

LOOPBACK = ("::1", "127.0.0.1")
_NOBODY_SAID: tuple[Server, ...] = (("127.0.0.1", 53),)  # the default in resolv.conf(5)

_log = Logger()


def parse_hosts(text: str) -> dict[str, tuple[str, ...]]:
    """hosts(5): the addresses of each name, in the order of the lines; broken lines are skipped."""
    found: dict[str, tuple[str, ...]] = {}
    for _, line in significant_lines(text):
        address, *names = line.partition("#")[0].split()
        if ip_or_none(address) is None:
            continue
        for name in (name.lower().removesuffix(".") for name in names):
            if address not in found.get(name, ()):
                found[name] = (*found.get(name, ()), address)
    return found


def parse_resolv_conf(text: str) -> tuple[Server, ...]:
    """resolv.conf(5): its name servers, all on port 53; this machine's own if it names none."""
    words = [line.split() for _, line in significant_lines(text)]
    named = [line[1] for line in words if line[0] == "nameserver" and len(line) > 1]
    return (
        tuple((address, 53) for address in named if ip_or_none(address) is not None) or _NOBODY_SAID
    )


class Hosts:
    """The names that need no DNS: localhost (RFC 6761 section 6.3) and the names in /etc/hosts."""

    def __init__(self, path: Path | None, now: Callable[[], float] = time.monotonic) -> None:
        self._file = _watch(path, parse_hosts, now) if path else None

    def addresses(self, name: str) -> tuple[str, ...]:
        """The addresses of a `wire_name`; () if DNS must be asked."""
        named = self._file.value().get(name, ()) if self._file else ()
        if not named and (name == "localhost" or name.endswith(".localhost")):
            return LOOPBACK
        return named


def system_servers(
    path: Path = Path("/etc/resolv.conf"), now: Callable[[], float] = time.monotonic
) -> Callable[[], Sequence[Server]]:
    """A function that returns the present name servers of this machine."""
    file = _watch(path, parse_resolv_conf, now)
    return file.value if file else lambda: _NOBODY_SAID


def _watch(
    path: Path, parse: Callable[[str], T], now: Callable[[], float]
) -> WatchedFile[T] | None:
    try:
        return WatchedFile(path, parse, now)
    except (OSError, ValueError) as failed:
        _log.warn("{path} cannot be read: {problem}", path=path, problem=failed)
        return None
