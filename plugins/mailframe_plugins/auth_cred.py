"""[[auth]] plugin = "cred", checker = "file:/etc/mailframe/passwd"

Uses any checker of twisted.cred, by the description that `twistd --help-auth` explains:
`file:PATH`, `memory:USER:PASSWORD`, `unix`, `sshkey`, and those that other packages add. The
checker must accept IUsernamePassword: PLAIN and LOGIN carry the password itself, so a checker that
wants only hashed credentials (CRAM-MD5, SSH keys) cannot be used. A checker that blocks, as `unix`
may, blocks the host; `thread = true` asks it in a thread.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from twisted.cred.checkers import (
    FilePasswordDB,
    ICredentialsChecker,
    InMemoryUsernamePasswordDatabaseDontUse,
)
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.strcred import StrcredException, makeChecker
from twisted.internet.defer import Deferred, maybeDeferred
from zope.interface import implementer

from mailframe.plugin import Plugin, Secret, SettingError, Site, setting


@dataclass(frozen=True)
class Settings:
    """The settings."""

    checker: Secret = setting(
        'the description of the checker, such as "file:/etc/mailframe/passwd"'
    )
    thread: bool = setting("ask the checker in a thread; needed if it blocks", False)


@implementer(ICredentialsChecker)
class Cred:
    """Passes credentials on to the checker that the setting describes."""

    credentialInterfaces = (IUsernamePassword,)

    def __init__(self, settings: Settings, site: Site) -> None:
        self._checker = _make(settings.checker)
        self._in_thread = site.in_thread if settings.thread else None
        kinds = self._checker.credentialInterfaces
        if not any(IUsernamePassword.isOrExtends(kind) for kind in kinds):
            raise SettingError("checker", "this checker takes no plain names and passwords")

    def requestAvatarId(self, credentials: IUsernamePassword) -> Deferred[bytes | tuple[()]]:
        """The checker's answer; an empty avatar is UnauthorizedLogin too."""
        if self._in_thread is not None:
            answer = self._in_thread(_ask, self._checker, credentials)
        else:
            answer = maybeDeferred(self._checker.requestAvatarId, credentials)
        return answer.addCallback(_somebody)


def _make(description: str) -> Any:
    kind = description.partition(":")[0]
    try:
        checker: Any = makeChecker(description)  # type: ignore[no-untyped-call]
    except StrcredException as wrong:
        raise SettingError("checker", f"twisted.cred knows no checker {kind!r}") from wrong
    # Each checker has its own way to refuse an argument, and the argument may contain a password.
    except Exception as wrong:
        raise SettingError("checker", f"{kind!r} does not take this argument") from wrong
    if isinstance(checker, FilePasswordDB) and not os.path.isfile(checker.filename):
        raise SettingError("checker", f"{checker.filename} is not a file")
    if isinstance(checker, InMemoryUsernamePasswordDatabaseDontUse):
        # A description gives it text, but credentials are octets, so no login would ever match.
        users: Any = checker.users
        checker.users = {name.encode(): password.encode() for name, password in users.items()}
    return checker


def _ask(checker: Any, credentials: IUsernamePassword) -> Any:
    """Called in a thread. A Deferred that has not fired yet cannot be waited for here."""
    results: list[Any] = []
    answer = maybeDeferred(checker.requestAvatarId, credentials)
    answer.addBoth(results.append)
    if not results:
        answer.cancel()
        raise RuntimeError("a checker that waits for the reactor cannot be asked in a thread")
    return results[0]


def _somebody(avatar: Any) -> Any:
    if not avatar:
        raise UnauthorizedLogin()
    return avatar


plugin = Plugin("cred", ICredentialsChecker, Settings, Cred)
