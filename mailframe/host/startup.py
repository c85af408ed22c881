"""What must hold before a host starts, whichever way its composition came."""

from __future__ import annotations

import gc

from ..config import Composition, checks
from ..settings import HostSettings
from .listening import StartError
from .privileges import Account, NoSuchAccount, account


def check(composition: Composition) -> None:
    """What reading a file would have found, for a composition of Python's. Raises StartError."""
    wrong = checks.check(composition.settings, composition.sections)
    problems = [f"{'.'.join(map(str, place))}: {message}" for place, message in wrong]
    if problems:
        raise StartError("\n".join(problems))


def spare_the_collector() -> None:
    """For a process that is a host and nothing else, once it is composed.

    What was made at the start stays, and is not looked at again for rings of garbage; those of
    the sessions are rare, and looked for less often than in a program that ends soon.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


def account_of(settings: HostSettings) -> Account | None:
    """Whom the host becomes, None where it stays who it is. Raises StartError."""
    try:
        return account(settings.user, settings.group)
    except NoSuchAccount as wrong:
        raise StartError(f"{wrong.key}: {wrong}") from None
