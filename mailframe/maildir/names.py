"""File and folder names made from texts that strangers choose: local parts, domains and tags."""

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
    """A folder name for any text, different for each text; `original_name` undoes it.

    Letters (in their case), digits and `_+=@.-` stay as they are. Every other octet of the UTF-8
    form becomes %XX, and so does a leading dot or hyphen. The result is never empty, ".", ".." or
    hidden, and contains no slash and no NUL. It has 255 octets at most: a longer one ends in a
    SHA-256, which cannot be undone.
    """
    octets = local.encode("utf-8", "surrogatepass")
    if not octets:
        return _EMPTY
    return _bounded(_QUOTE.sub(lambda match: b"%%%02X" % match.group()[0], octets).decode("ascii"))


def original_name(name: str) -> str | None:
    """The text from which `safe_name` made this name.

    None if it did not, or if it hashed the text.
    """
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
    # No quoted name contains "%-", so a hashed one is never taken for another.
    mark = "%-" + hashlib.sha256(octets).hexdigest()
    head = octets[: MAX_NAME - len(mark)].decode("utf-8", "ignore")
    return head + mark


@dataclass(frozen=True, slots=True)
class Template:
    """The places of mailboxes: "/var/mail/{domain}/{user}/Maildir".

    `prefix` is the part before the first name with a placeholder; every mailbox is below it.
    ValueError for a placeholder other than {user} and {domain}, for a path that is not absolute,
    and for one that contains "..".
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
        """The folders at the beginning, which do not depend on the address."""
        names = self.text.split("/")
        fixed = next((at for at, name in enumerate(names) if "{" in name), len(names))
        return Path("/", *names[1:fixed])

    @property
    def has_user(self) -> bool:
        """True if each user has a separate place."""
        return "{user}" in self.text

    def above(self, path: Path) -> Path:
        """The folder that contains the part of this mailbox's path that is made from the user.

        If no part is, the folder that contains the path.
        """
        names = self.text.split("/")
        depth = next((at for at, name in enumerate(names) if "{user}" in name), len(names) - 1)
        return Path(*path.parts[:depth])

    def path(self, user: str, domain: str) -> Path:
        """The path of this mailbox. `domain` is "" for the bare Postmaster."""
        values = {"user": safe_name(user), "domain": safe_name(domain)}
        return Path("/", *(_fill(name, values) for name in self.text.split("/")[1:]))


def _fill(name: str, values: dict[str, str]) -> str:
    return _bounded(_PLACEHOLDER.sub(lambda match: values[match.group(1)], name))
