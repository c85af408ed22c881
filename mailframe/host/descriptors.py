"""How many files (including sockets) a process may have open, and how many it may need."""

from __future__ import annotations

import resource

from twisted.logger import Logger

from ..settings import HostSettings

BESIDES = 200  # files for the queue, deliveries, logs and workers

_log = Logger()


def raise_limit() -> None:
    """Let this process open as many files as it may: the soft limit becomes the hard one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError) as failed:  # macOS has a limit that it does not report
        _log.warn("no more than {soft} files can be open: {why}", soft=soft, why=str(failed))


def too_few(settings: HostSettings) -> str:
    """A warning if the clients of all listeners need more open files than allowed, else ""."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    limits = [listener.limits or settings.limits for listener in settings.listen]
    wanted = sum(each.connections for each in limits)
    if hard == resource.RLIM_INFINITY or wanted + BESIDES <= hard:
        return ""
    return (
        f"all listeners together take {wanted} connections, and a process may have {hard} files "
        f"open (RLIMIT_NOFILE): those above are not let in"
    )
