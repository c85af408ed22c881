"""[[auth]] plugin = "passwords", file = "users"

Users and passwords in a file, one user in a line, as `mailframe user add` writes them:

    alice@example.org:scrypt$16384$8$1$SALT$HASH SCRAM-SHA-256$20000:SALT$STOREDKEY:SERVERKEY

The second half, for SCRAM, may be missing; that user can log in only by PLAIN or LOGIN. Names are
compared without regard to case. Passwords are any UTF-8 text of up to 255 octets without control
characters, compared in Unicode's form NFC (for SCRAM in that of SASLprep, RFC 4013).
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import fcntl
import hashlib
import hmac
import os
import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, DeferredSemaphore, fail, succeed
from twisted.logger import Logger
from zope.interface import implementer

from mailframe.files.watched import CHECK_EVERY, LineError, WatchedFile, significant_lines
from mailframe.interfaces import IStoredKeys, IUserStore
from mailframe.plugin import Duration, Plugin, SettingError, Site, setting
from mailframe.sasl import SALT_OCTETS, Identity, KeysFound, KeysWanted, StoredKeys
from mailframe.sasl.text import normal_name, normal_password

MAX_MEMORY = 256 << 20  # octets that checking one password may take
MAX_CACHED = 10_000


@dataclass(frozen=True)
class Settings:
    """The settings."""

    file: Path = setting("the file of users and passwords; read again when it changes")
    cache: Duration = setting(
        "seconds that a successful login is remembered; 0: never", Duration(300.0)
    )
    threads: int = setting("passwords checked at once; each takes 16 MB and 50 ms", 4)
    scram: Literal["auto", "always", "never"] = setting(
        'offer SCRAM-SHA-256; "auto": once every user has keys for it. New passwords get keys '
        'unless it is "never"',
        "auto",
    )


@dataclass(frozen=True, slots=True)
class Scrypt:
    """The hash of a password (RFC 7914): cost, salt and hash."""

    n: int = 1 << 14
    r: int = 8
    p: int = 1
    salt: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    hash: bytes = b""

    @classmethod
    def parse(cls, text: str) -> Scrypt:
        """ValueError for a text that is no such hash, or would take too much memory."""
        kind, *fields = text.split("$")
        if kind != "scrypt" or len(fields) != 5:
            raise ValueError("scrypt$N$R$P$SALT$HASH is wanted after the name")
        try:
            n, r, p = (int(number) for number in fields[:3])
            salt, hash = (base64.b64decode(octets, validate=True) for octets in fields[3:])
        except (ValueError, binascii.Error):
            raise ValueError("N, R and P are numbers, SALT and HASH are base64") from None
        if n < 2 or n & (n - 1) or min(r, p) < 1 or p > 16 or 128 * n * r > MAX_MEMORY:
            raise ValueError("N is a power of 2, and all three in a measure that can be computed")
        if not salt or len(hash) < 16:
            raise ValueError("the salt is empty or the hash too short")
        return cls(n, r, p, salt, hash)

    @classmethod
    def of(cls, password: bytes) -> Scrypt:
        """The hash of this password, with a new salt."""
        empty = cls()
        return cls(salt=empty.salt, hash=empty.compute(password, 32))

    def __str__(self) -> str:
        salt, hash = (base64.b64encode(octets).decode() for octets in (self.salt, self.hash))
        return f"scrypt${self.n}${self.r}${self.p}${salt}${hash}"

    def compute(self, password: bytes, length: int) -> bytes:
        """The hash of a password with this cost and salt. Takes time."""
        memory = 128 * self.r * (self.n + self.p + 2) + (1 << 20)
        return hashlib.scrypt(
            password, salt=self.salt, n=self.n, r=self.r, p=self.p, maxmem=memory, dklen=length
        )

    def matches(self, password: bytes) -> bool:
        """True if it is the password; takes as long if there is no hash to compare with."""
        computed = self.compute(password, len(self.hash) or 32)
        return hmac.compare_digest(computed, self.hash)


@dataclass(frozen=True, slots=True)
class Kept:
    """What is stored of one user's password; `keys` is None if it cannot be used with SCRAM."""

    scrypt: Scrypt
    keys: StoredKeys | None = None

    @classmethod
    def parse(cls, text: str) -> Kept:
        """Both halves of a line, or only the first. ValueError for anything else."""
        scrypt, _, keys = text.strip().partition(" ")
        return cls(Scrypt.parse(scrypt), StoredKeys.parse(keys.strip()) if keys else None)

    @classmethod
    def of(cls, password: str, scram: bool) -> Kept:
        """Make it from a password. ValueError for a text that cannot be a password."""
        keys = None
        scrypt = Scrypt.of(normal_password(password))
        if scram:
            # What SASLprep prohibits, such as an emoji, can be used with PLAIN and LOGIN.
            with contextlib.suppress(ValueError):
                keys = StoredKeys.derive(password, secrets.token_bytes(SALT_OCTETS))
        return cls(scrypt, keys)

    def __str__(self) -> str:
        return f"{self.scrypt} {self.keys.text}" if self.keys else str(self.scrypt)


class GoodLogins:
    """Remembers successful logins. It keeps MACs under its own key, not the passwords."""

    def __init__(self, keep: float, now: Callable[[], float]) -> None:
        self._keep = keep
        self._now = now
        self._key = secrets.token_bytes(32)
        self._until: OrderedDict[bytes, float] = OrderedDict()

    def _mac(self, name: str, kept: Scrypt, password: bytes) -> bytes:
        said = b"\0".join((name.encode(), str(kept).encode(), password))
        return hmac.digest(self._key, said, "sha256")

    def add(self, name: str, kept: Scrypt, password: bytes) -> None:
        """Remember this successful login."""
        if self._keep > 0:
            self._until[self._mac(name, kept, password)] = self._now() + self._keep
            if len(self._until) > MAX_CACHED:
                self._until.popitem(last=False)

    def __contains__(self, login: tuple[str, Scrypt, bytes]) -> bool:
        mac = self._mac(*login)
        until = self._until.get(mac)
        if until is None or self._now() < until:
            return until is not None
        del self._until[mac]
        return False


@implementer(ICredentialsChecker, IStoredKeys, IUserStore)
class Passwords:
    """Checks passwords in threads and stores keys for SCRAM.

    Its users can be listed and changed.
    """

    _log = Logger()
    credentialInterfaces = (IUsernamePassword,)

    def __init__(self, settings: Settings, site: Site) -> None:
        if settings.threads < 1:
            raise SettingError("threads", "at least 1 is wanted")
        self._path = site.folder / settings.file
        site.will_read("file", self._path)
        self._give = site.give
        self._now = site.reactor.seconds
        self._in_thread = site.in_thread
        self._at_once = DeferredSemaphore(settings.threads)
        self._good = GoodLogins(settings.cache, self._now)
        self._looked = self._now()
        self._scram = settings.scram
        self._counted: tuple[Mapping[str, Kept] | None, bool] = None, False
        self._watched = self._watch()
        if self._watched is None:
            site.warn("file", f"{self._path}: No such file or directory: nobody can log in")

    def _watch(self) -> WatchedFile[Mapping[str, Kept]] | None:
        try:
            return WatchedFile(self._path, parse, self._now)
        except FileNotFoundError:
            # `mailframe user add` makes the file, so a first start without it is no error.
            return None
        except LineError as wrong:
            raise SettingError("file", f"{self._path}:{wrong.line}: {wrong.message}") from wrong
        except OSError as failed:
            raise SettingError("file", f"{self._path}: {failed.strerror}") from failed
        except ValueError as wrong:
            raise SettingError("file", f"{self._path}: {wrong}") from wrong
        return None

    def _users(self) -> Mapping[str, Kept]:
        if self._watched is None and not 0 <= self._now() - self._looked < CHECK_EVERY:
            self._looked = self._now()
            if self._path.exists():
                try:
                    self._watched = self._watch()
                except SettingError as wrong:
                    self._log.error("{problem}; nobody can log in", problem=wrong.message)
        return {} if self._watched is None else self._watched.value()

    def requestAvatarId(self, credentials: IUsernamePassword) -> Deferred[bytes | tuple[()]]:
        """The user's name as it is in the file; all failures take the same time."""
        try:
            name = normal_name(_text(credentials.username))
            password = normal_password(_text(credentials.password))
        except ValueError:
            return fail(UnauthorizedLogin())
        users = self._users()
        kept = users.get(name)
        if kept is not None and (name, kept.scrypt, password) in self._good:
            return succeed(name.encode())
        return Deferred.fromCoroutine(self._check(name, password, kept, users))

    async def _check(
        self, name: str, password: bytes, user: Kept | None, users: Mapping[str, Kept]
    ) -> bytes | tuple[()]:
        # The time that it takes must not tell which users exist.
        kept = user.scrypt if user else None
        like = next((each.scrypt for each in users.values()), Scrypt())
        asked = kept or Scrypt(like.n, like.r, like.p)
        right = await self._at_once.run(self._in_thread, asked.matches, password)
        if kept is None or not right:
            raise UnauthorizedLogin()
        self._good.add(name, kept, password)
        return name.encode()

    def keeps_keys(self) -> bool:
        """True if SCRAM should be offered: clients prefer it, even if their user has no keys."""
        if self._scram != "auto":
            return self._scram == "always"
        users = self._users()
        if users is not self._counted[0]:
            without = sum(kept.keys is None for kept in users.values())
            self._counted = users, bool(users) and not without
            if 0 < without < len(users):
                self._log.info(
                    "{file}: SCRAM is not offered: {without} users of {all} have no keys yet",
                    file=str(self._path),
                    without=without,
                    all=len(users),
                )
        return self._counted[1]

    def stored_keys(self, wanted: KeysWanted) -> KeysFound | None:
        """The user's keys; takes as long if there are none. See IStoredKeys."""
        try:
            name = normal_name(wanted.name)
        except ValueError:
            return None
        kept = self._users().get(name)
        if kept is None or kept.keys is None or self._scram == "never":
            return None
        return KeysFound(Identity(name), kept.keys)

    def names(self) -> Sequence[str]:
        """All users, sorted."""
        return sorted(self._parsed(self._read()))

    def set_password(self, name: str, password: str, create: bool) -> None:
        """Change the file durably; it is made if there is none. See IUserStore."""
        name = normal_name(name)
        line = f"{name}:{Kept.of(password, self._scram != 'never')}"
        with self._locked():
            text = self._read()
            if (name in self._parsed(text)) == create:
                raise KeyError(name)
            lines = [line if _name_in(old) == name else old for old in text.splitlines()]
            self._write([*lines, line] if create else lines)

    def remove(self, name: str) -> None:
        """Change the file durably. KeyError if there is no such user."""
        name = normal_name(name)
        with self._locked():
            text = self._read()
            if name not in self._parsed(text):
                raise KeyError(name)
            self._write([line for line in text.splitlines() if _name_in(line) != name])

    def test(self, name: str, password: str) -> bool:
        """True if this password is the user's."""
        try:
            name, octets = normal_name(name), normal_password(password)
        except ValueError:
            return False
        kept = self._parsed(self._read()).get(name)
        return (kept.scrypt if kept else Scrypt()).matches(octets) and kept is not None

    def _read(self) -> str:
        try:
            return self._path.read_text("utf-8-sig")
        except FileNotFoundError:
            return ""

    def _parsed(self, text: str) -> Mapping[str, Kept]:
        try:
            return parse(text)
        except LineError as wrong:
            raise ValueError(f"{self._path}:{wrong.line}: {wrong.message}") from wrong

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Let one process write at a time: the folder is locked, because the file is replaced."""
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
            os.fsync(folder)
        finally:
            os.close(folder)

    def _write(self, lines: Sequence[str]) -> None:
        """Replace the file in one step, with the same owner and mode.

        If root makes the file, only root could read it, so it is given to the host's user.
        """
        draft = self._path.with_name(f".{self._path.name}.{secrets.token_hex(4)}")
        try:
            file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(file, "w", encoding="utf-8") as output:
                with contextlib.suppress(FileNotFoundError):
                    old = self._path.stat()
                    os.fchown(file, old.st_uid, old.st_gid)
                    os.fchmod(file, 0o600 | old.st_mode & 0o040)
                self._give(file)
                output.write("".join(f"{line}\n" for line in lines))
                output.flush()
                os.fsync(file)
            os.replace(draft, self._path)
        finally:
            draft.unlink(missing_ok=True)


def parse(text: str) -> Mapping[str, Kept]:
    """The users and what is stored of their passwords. Raises LineError."""
    users: dict[str, Kept] = {}
    for number, line in significant_lines(text):
        name, kept = _halves(line)
        try:
            if not kept:
                raise ValueError("name:scrypt$… is wanted")
            name = normal_name(name.strip())
            if name in users:
                raise ValueError(f"{name} is there twice")
            users[name] = Kept.parse(kept)
        except ValueError as wrong:
            raise LineError(number, str(wrong)) from None
    return users


def _halves(line: str) -> tuple[str, str]:
    """The name and what is stored for it; both "" if the line is no user's."""
    # Names and keys may contain colons; neither contains a space.
    front, space, keys = line.partition(" SCRAM-SHA-256$")
    name, colon, scrypt = front.rpartition(":")
    return name, colon and f"{scrypt}{space}{keys}"


def _name_in(line: str) -> str:
    """The name in one line of the file; "" if there is none."""
    name = "" if line.lstrip().startswith("#") else _halves(line)[0].strip()
    return normal_name(name) if name else ""


def _text(said: bytes | str) -> str:
    return said.decode("utf-8") if isinstance(said, bytes) else said


plugin = Plugin("passwords", ICredentialsChecker, Settings, Passwords)
