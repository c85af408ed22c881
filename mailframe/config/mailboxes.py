"""Turns `[mailboxes]` into the Mailboxes that plugins ask, and finds every mistake in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ..maildir.mailboxes import Mailboxes
from ..setting import SettingError
from ..settings import MailboxSettings
from .composition import Composition, ConfigError

# Replaces a wrong value, so that the rest of the configuration can be checked as well.
_RIGHT = MailboxSettings(Path("/{domain}/{user}"))


def mailboxes_of(
    composition: Composition, now: Callable[[], float]
) -> tuple[Mailboxes | None, tuple[ConfigError, ...]]:
    """The mailboxes of a host (None if it has no `[mailboxes]`), and the mistakes in that table.

    Wrong values are left out, so do not use the mailboxes if there is a mistake. `now` gives
    seconds. Reads the files that the table names.
    """
    errors: list[ConfigError] = []
    settings = composition.settings.mailboxes
    while settings is not None:
        try:
            return Mailboxes.read(settings, composition.folder, now), tuple(errors)
        except SettingError as wrong:
            errors.append(composition.error(f"mailboxes.{wrong.key}", wrong.message))
            settings = replace(settings, **{wrong.key: getattr(_RIGHT, wrong.key)})
    return None, ()
