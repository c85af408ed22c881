"""Checks and preparations before a host starts, from a file or from Python."""

from __future__ import annotations

import gc

from ..config import Composition, checks
from ..settings import HostSettings
from .listening import StartError
from .privileges import Account, NoSuchAccount, account


def check(composition: Composition) -> None:
    """Check a composition made in Python as reading a file would have done. Raises StartError."""
    wrong = checks.check(composition.settings, composition.sections)
    problems = [f"{'.'.join(map(str, place))}: {message}" for place, message in wrong]
    if problems:
        raise StartError("\n".join(problems))


def spare_the_collector() -> None:
    """Let the garbage collector run less often; for a process that is a host and nothing else.

    Call it once the host is composed. Objects that exist by then are not looked at again, and
    sessions rarely leave cyclic garbage, so it is looked for less often than Python does by
    default.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


def account_of(settings: HostSettings) -> Account | None:
    """The account that the host becomes; None if it keeps its own. Raises StartError."""
    try:
        return account(settings.user, settings.group)
    except NoSuchAccount as wrong:
        raise StartError(f"{wrong.key}: {wrong}") from None
