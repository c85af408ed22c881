"""FLOOR 13: `twistd mailframe -c FILE`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import TracebackType

from twisted.python import usage

from .config import ConfigErrors
from .host import Host, make_service
from .host.descriptors import raise_limit
from .host.listening import StartError
from .host.startup import spare_the_collector
from .host.workers.supervisor import Supervisor


class Options(usage.Options):
    """What stands after `twistd … mailframe`."""

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
    """The host, or its workers' supervisor.

    Or every error of its configuration on stderr and exit status 1.
    """
    sys.excepthook = _in_words
    # twistd changes the folder when it becomes a daemon.
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
        return host
    raise SystemExit(1)


def _in_words(kind: type[BaseException], wrong: BaseException, trace: TracebackType | None) -> None:
    """A start that fails after this, when a port is taken, is told in one line as well."""
    if isinstance(wrong, StartError):
        print(f"mailframe: not started: {wrong}", file=sys.stderr)  # noqa: T201
    else:
        sys.__excepthook__(kind, wrong, trace)
