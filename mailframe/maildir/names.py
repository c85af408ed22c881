"""Names of files and folders made of what strangers chose: local parts, domains, tags."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

MAX_NAME = 255  # octets of one name in a folder, on every usual file system

_QUOTE = re.compile(rb"[^A-Za-z0-9_+=@.-]|\A[.-]")
_QUOTED = re.compile(rb"(?:[^%]|%[0-9A-F]{2})*")
_EMPTY = "%"
_PLACEHOLDER = re.compile(r"\{(\w*)\}")


def safe_name(local: str) -> str:
    """One folder's name for any text, a different one for each text; `original_name` undoes it.

    Letters (their case is kept), digits and `_+=@.-` stand as they are, all other octets of
    the UTF-8 form as %XX, and so does a leading dot or hyphen. The result is never empty,
    ".", ".." or hidden, holds no slash and no NUL, and has 255 octets at most: longer ones
    end in a SHA-256, which cannot be undone.
    """
    octets = local.encode("utf-8", "surrogatepass")
    if not octets:
        return _EMPTY
    return _bounded(_QUOTE.sub(lambda match: b"%%%02X" % match.group()[0], octets).decode("ascii"))


def original_name(name: str) -> str | None:
    """The text that `safe_name` quoted; None for a name that it did not make or has hashed."""
    if name == _EMPTY:
        return ""
    octets = name.encode("utf-8", "surrogateescape")
    if not _QUOTED.fullmatch(octets):
        return None
    octets = re.sub(rb"%(..)", lambda match: bytes.fromhex(match.group(1).decode()), octets)
    try:
        local = octets.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return None
    return local if safe_name(local) == name else None


def _bounded(name: str) -> str:
    """The name if it is short enough, else its beginning and a hash of the whole."""
    octets = name.encode("utf-8", "surrogateescape")
    if len(octets) <= MAX_NAME:
        return name
    # "%-" is in no quoted name, so that a hashed one is never mistaken for another.
    mark = "%-" + hashlib.sha256(octets).hexdigest()
    head = octets[: MAX_NAME - len(mark)].decode("utf-8", "ignore")
    return head + mark


@dataclass(frozen=True, slots=True)
class Template:
    """Where mailboxes are: "/var/mail/{domain}/{user}/Maildir".

    `prefix` is the part before the first name with a placeholder: every path that comes out
    lies under it. ValueError for a placeholder but {user} and {domain}, for a path that is
    not absolute and for names ".." in it.
    """

    text: str

    def __post_init__(self) -> None:
        if not self.text.startswith("/"):
            raise ValueError("the path does not start with /")
        if ".." in self.text.split("/"):
            raise ValueError("the path holds ..")
        if "\0" in self.text:
            raise ValueError("the path holds a NUL character")
        unknown = set(_PLACEHOLDER.findall(self.text)) - {"user", "domain"}
        rest = _PLACEHOLDER.sub("", self.text)
        if unknown or "{" in rest or "}" in rest:
            raise ValueError("the placeholders of a path are {user} and {domain}")

    @property
    def prefix(self) -> Path:
        """The folders that no address chooses."""
        names = self.text.split("/")
        fixed = next((at for at, name in enumerate(names) if "{" in name), len(names))
        return Path("/", *names[1:fixed])

    @property
    def has_user(self) -> bool:
        """True if each user has a place of his own."""
        return "{user}" in self.text

    def above(self, path: Path) -> Path:
        """The folder that holds what the user chooses of this mailbox's path, or all of it."""
        names = self.text.split("/")
        depth = next((at for at, name in enumerate(names) if "{user}" in name), len(names) - 1)
        return Path(*path.parts[:depth])

    def path(self, user: str, domain: str) -> Path:
        """The place of this mailbox. `domain` "" is that of the bare Postmaster."""
        values = {"user": safe_name(user), "domain": safe_name(domain)}
        return Path("/", *(_fill(name, values) for name in self.text.split("/")[1:]))


def _fill(name: str, values: dict[str, str]) -> str:
    return _bounded(_PLACEHOLDER.sub(lambda match: values[match.group(1)], name))
