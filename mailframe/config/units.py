"""Reads the types that the configuration has of its own: durations, sizes, secrets and so on."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from pathlib import Path

from ..setting import Duration, Secret, Size, parse_size
from ..smtp.address import AddressError, Mailbox

_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


class WrongValue(ValueError):
    """A value that its key does not take; the message is for the operator."""


def expected(what: str, got: object) -> WrongValue:
    """The error that says what was expected and what was found."""
    return WrongValue(f"expected {what}, got {shown(got)}")


def shown(value: object) -> str:
    """A value as TOML writes it, shortened to a readable length."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list):
        return "a list"
    text = '"' + value.replace('"', '\\"') + '"' if isinstance(value, str) else str(value)
    text = text.encode("unicode_escape").decode("ascii") if not text.isprintable() else text
    return text if len(text) <= 60 else text[:56] + "..."


def duration(value: object) -> Duration:
    """Seconds: a number, or a text such as "90s", "15m", "1h30m", "5d"."""
    what = 'a duration: seconds as a number, or a text such as "90s", "15m", "4h" or "5d"'
    if isinstance(value, int | float) and not isinstance(value, bool):
        if value < 0 or not math.isfinite(value):
            raise expected(what, value)
        return Duration(float(value))
    if isinstance(value, str):
        parts = _PART.findall(value)
        if parts and "".join(number + unit for number, unit in parts) == value:
            return Duration(sum(float(number) * _SECONDS[unit] for number, unit in parts))
    raise expected(what, value)


def size(value: object) -> Size:
    """Octets: a number, or a text such as "512K", "25M", "2G" (in powers of 1024)."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return Size(value)
    what = 'a size: octets as a number, or a text such as "512K", "25M" or "2G"'
    if not isinstance(value, str):
        raise expected(what, value)
    try:
        return parse_size(value)
    except ValueError:
        raise expected(what, value) from None


def secret(value: object, folder: Path) -> Secret:
    """A text, or `{ file = "..." }` that holds it, or `{ env = "..." }` for an environment
    variable.

    The last line end of a file is left out. The error never shows the secret.
    """
    if isinstance(value, str):
        return Secret(value)
    if isinstance(value, Mapping) and len(value) == 1:
        ((source, name),) = value.items()
        if source == "file" and isinstance(name, str):
            return _from_file(path(name, folder))
        if source == "env" and isinstance(name, str):
            if name not in os.environ:
                raise WrongValue(f"the environment has no variable {name}")
            return Secret(os.environ[name])
    raise WrongValue('expected a text, or { file = "..." }, or { env = "..." }')


def _from_file(place: Path) -> Secret:
    try:
        return Secret(place.read_text("utf-8").removesuffix("\n").removesuffix("\r"))
    except OSError as wrong:
        raise WrongValue(f"{place} cannot be read: {wrong.strerror}") from wrong
    except UnicodeDecodeError as wrong:
        raise WrongValue(f"{place} is not UTF-8") from wrong


def mailbox(value: object) -> Mailbox:
    """A mailbox "local@domain"."""
    if not isinstance(value, str):
        raise expected('a mailbox such as "bob@example.org"', value)
    try:
        return Mailbox.parse(value)
    except AddressError as wrong:
        raise WrongValue(f"expected a mailbox, got {shown(value)}: {wrong}") from wrong


def path(value: object, folder: Path) -> Path:
    """A path; a relative one begins at the configuration's folder, and "~" is the user's home."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise expected("a path", value)
    try:
        parts = (folder / Path(value).expanduser()).parts
    except RuntimeError as wrong:
        raise WrongValue(f"{shown(value)}: {wrong}") from wrong
    # Only the part before the last ".." is resolved, because links after it may change later.
    up = max((at for at, part in enumerate(parts, 1) if part == ".."), default=0)
    return Path(*parts[:up]).resolve().joinpath(*parts[up:]) if up else Path(*parts)
