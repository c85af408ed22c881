"""FLOOR 13: `twistd mailframe -c FILE`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

from twisted.python import usage

from .config import ConfigErrors
from .host import Host, make_service
from .host.descriptors import raise_limit
from .host.listening import StartError
from .host.startup import spare_the_collector
from .host.workers.supervisor import Supervisor


class Options(usage.Options):
    """The options after `twistd … mailframe`."""

    synopsis = "[options]"
    longdesc = "Runs a mail host. `mailframe check -c FILE` looks for mistakes first."
    optParameters = [
        [
            "config",
            "c",
            None,
            "The configuration file; by default $MAILFRAME_CONFIG, then mailframe.toml.",
        ]
    ]

    compData = usage.Completions(optActions={"config": usage.CompleteFiles("*.toml")})


def makeService(options: Options) -> Host | Supervisor:
    """The host, or the supervisor of its workers.

    If the configuration has errors, prints all of them on stderr and exits with status 1.
    """
    sys.excepthook = _in_words
    # twistd changes the current folder when it becomes a daemon.
    named = options["config"] or os.environ.get("MAILFRAME_CONFIG") or "mailframe.toml"
    file = Path(named).absolute()
    try:
        raise_limit()
        host = make_service(file)
    except ConfigErrors as wrong:
        for error in wrong.errors:
            print(error, file=sys.stderr)  # noqa: T201
    except StartError as wrong:
        print(f"{file}: {wrong}", file=sys.stderr)  # noqa: T201
    else:
        spare_the_collector()
        _take_early_signals()
        return host
    raise SystemExit(1)


def _take_early_signals() -> None:
    """If a SIGTERM comes before the reactor runs, stop the host in order once it does.

    At that time the ports are already bound and the pid file exists, so one may well come.
    """
    from twisted.internet import reactor

    running: Any = reactor
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        # The reactor replaces this handler with its own when it begins.
        signal.signal(signal.SIGTERM, lambda *_: running.callWhenRunning(running.stop))


def _in_words(kind: type[BaseException], wrong: BaseException, trace: TracebackType | None) -> None:
    """Report a start that fails later, for example because a port is taken, in one line as well."""
    if isinstance(wrong, StartError):
        print(f"mailframe: not started: {wrong}", file=sys.stderr)  # noqa: T201
    else:
        sys.__excepthook__(kind, wrong, trace)
