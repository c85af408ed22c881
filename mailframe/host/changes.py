"""Finds the tables of the configuration that differ from those that a host runs with."""

from __future__ import annotations

from dataclasses import fields, replace

from ..config import Composition, Location, Section
from ..settings import HostSettings


def changed_tables(old: Composition, new: Composition) -> list[str]:
    """The names of changed tables: "[limits]", "user", "[[route]]". Their place does not count."""
    settings = [
        _named(each.name)
        for each in fields(HostSettings)
        if getattr(old.settings, each.name) != getattr(new.settings, each.name)
    ]
    stages = dict.fromkeys(section.stage for section in (*old.sections, *new.sections))
    plugins = [
        f"[{stage}]" if stage in ("queue", "deliver") else f"[[{stage}]]"
        for stage in stages
        if _of(stage, old) != _of(stage, new)
    ]
    return settings + plugins


def _of(stage: str, composition: Composition) -> list[Section]:
    nowhere = Location()
    return [
        replace(section, where=nowhere)
        for section in composition.sections
        if section.stage == stage
    ]


def _named(key: str) -> str:
    if key == "listen":
        return "[[listen]]"
    return f"[{key}]" if key in _TABLES else key


_TABLES = frozenset({"limits", "logins", "tls", "dns", "retry", "bounce", "mailboxes"})
