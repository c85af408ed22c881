"""Users of an application log in to mailframe with the passwords that they have there.

The application keeps them in an SQLite table: name, salt, and the password's scrypt hash. To make
such a table, or to add somebody:

    python own_users.py users.sqlite alice@example.org    # asks for the password
"""

from __future__ import annotations

import getpass
import hashlib
import hmac
import os
import sqlite3
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred
from zope.interface import implementer

from mailframe.plugin import SettingError, Site, setting

TABLE = "CREATE TABLE IF NOT EXISTS users (name TEXT PRIMARY KEY, salt BLOB, hash BLOB)"
WAIT = 5.0  # seconds to wait for an application that writes; the host would wait 30
LONGEST = 1024  # octets of a name or a password that are looked at


def hashed(password: bytes, salt: bytes) -> bytes:
    """The password's hash; takes 16 MB and 50 ms."""
    return hashlib.scrypt(password, salt=salt, n=1 << 14, r=8, p=1, maxmem=1 << 25)


@implementer(ICredentialsChecker)
class OwnUsers:
    """`[[auth]] plugin = "own_users:OwnUsers"`: asks the table, in a thread."""

    credentialInterfaces = (IUsernamePassword,)

    @dataclass(frozen=True)
    class Settings:
        """The settings."""

        database: Path = setting("the application's SQLite file")

    def __init__(self, settings: Settings, site: Site) -> None:
        self._database = settings.database
        self._in_thread = site.in_thread
        site.will_read("database", settings.database)
        try:
            self._find("")
        except sqlite3.Error as wrong:
            raise SettingError("database", f"{settings.database}: {wrong}") from wrong

    def requestAvatarId(self, credentials: IUsernamePassword) -> Deferred[bytes | tuple[()]]:
        """The user's name. UnauthorizedLogin for anybody else; sqlite3.Error is the plugin's own
        failure, which the client reads as "try again later"."""
        return self._in_thread(self._check, credentials.username, credentials.password)

    def _check(self, name: bytes, password: bytes) -> bytes:
        """Called in a thread. An unknown user takes as long as a known one."""
        if max(len(name), len(password)) > LONGEST:
            raise UnauthorizedLogin()
        found = self._find(name.decode("utf-8", "replace"))
        user, salt, wanted = found or ("", bytes(16), b"")
        if not hmac.compare_digest(hashed(password, salt), wanted):
            raise UnauthorizedLogin()
        return user.encode("utf-8")

    def _find(self, name: str) -> tuple[str, bytes, bytes] | None:
        """Opened each time, and only to read: the application may replace the file."""
        place = f"{self._database.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(place, timeout=WAIT, uri=True)) as connection:
            query = "SELECT name, salt, hash FROM users WHERE name = ?"
            row: tuple[str, bytes, bytes] | None = connection.execute(query, (name,)).fetchone()
            return row


def add(database: Path, name: str, password: str) -> None:
    """Add a user, or give one another password. What the application itself would do."""
    salt = os.urandom(16)
    row = (name, salt, hashed(password.encode("utf-8"), salt))
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(TABLE)
        connection.execute("INSERT OR REPLACE INTO users VALUES (?, ?, ?)", row)


if __name__ == "__main__":
    add(Path(sys.argv[1]), sys.argv[2], getpass.getpass())
