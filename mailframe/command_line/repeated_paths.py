"""Warns of a configuration without `[mailboxes]` that gives the place of the mailboxes twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..config import Composition, ConfigError, Section
from ..config.building import settings_of
from ..maildir.mailboxes import USUAL_PATH


def repeated_paths(composition: Composition) -> Iterator[ConfigError]:
    """A warning for each `[[route]]` that looks for Maildirs, if its agent has a path too."""
    if composition.settings.mailboxes is not None:
        return
    agents = {
        section.agent: path
        for section in composition.sections
        if (section.stage, section.plugin) == ("deliver", "maildir")
        and (path := _path(section, composition)) is not None
    }
    for section in composition.sections:
        if (section.stage, section.plugin) != ("route", "mailboxes") or "file" in section.settings:
            continue
        agent = section.settings.get("deliver", "maildir")
        looked = _path(section, composition) or USUAL_PATH
        if agent not in agents:
            continue
        if agents[agent] != looked:
            said = f"mailboxes are looked for in {looked}, but [deliver.{agent}] delivers elsewhere"
        else:
            said = f"[deliver.{agent}] has it, too"
        yield section.error("path", f"warning: {said}: say it once, in [mailboxes]")


def _path(section: Section, composition: Composition) -> Path | None:
    path: Path | None = settings_of(section, composition.folder)[1].path
    return path
