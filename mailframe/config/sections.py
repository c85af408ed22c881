"""Reads the plugins' tables of a configuration, and the keys in them that the host itself takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..registry import COMMON_KEYS, STAGES
from . import units
from .composition import ConfigError, Location, Section
from .toml_index import Path as Place
from .units import WrongValue, expected

_ONE = "queue"
_NAMED = "deliver"


class Sections:
    """Reads all plugins' tables of one document; `errors` collects their mistakes."""

    def __init__(self, document: Mapping[str, Any], lines: Mapping[Place, int], file: Path) -> None:
        self._document = document
        self._lines = lines
        self._file = file
        self.errors: list[ConfigError] = []

    def read(self) -> Iterator[Section]:
        """Every section that names its plugin, stage by stage, in the order of the file."""
        for stage in STAGES:
            for place, name, table in self._tables(stage):
                section = self._section(stage, place, name, table)
                if section is not None:
                    yield section

    def _tables(self, stage: str) -> Iterator[tuple[Place, str, Mapping[str, Any]]]:
        """(place, name of the section, table) for each table of one stage."""
        written = self._document.get(stage)
        if written is None:
            return
        if stage == _ONE:
            if isinstance(written, Mapping):
                yield (stage,), stage, written
            else:
                self._wrong((stage,), stage, "write [queue]: there is exactly one")
        elif stage == _NAMED:
            if not isinstance(written, Mapping) or not all(
                isinstance(table, Mapping) for table in written.values()
            ):
                self._wrong((stage,), stage, "write [deliver.NAME]: each agent has a name")
                return
            for name, table in written.items():
                yield (stage, name), f"{stage}.{name}", table
        elif not isinstance(written, list):
            self._wrong((stage,), stage, f"write [[{stage}]]: there may be several")
        else:
            for number, table in enumerate(written):
                if isinstance(table, Mapping):
                    yield (stage, number), stage, table
                else:
                    self._wrong((stage, number), stage, str(expected("a table", table)))

    def _section(
        self, stage: str, place: Place, name: str, table: Mapping[str, Any]
    ) -> Section | None:
        where = Location(self._file, self._line(place), self._keys(place))
        settings = {key: value for key, value in table.items() if key != "plugin"}
        taken = {key: settings.pop(key) for key in COMMON_KEYS[stage] if key in settings}
        plugin = table.get("plugin", name.removeprefix("deliver.") if stage == _NAMED else None)
        if not isinstance(plugin, str) or not plugin:
            self._wrong((*place, "plugin"), f"{name}.plugin", _missing(plugin))
            return None
        values: dict[str, Any] = {}
        for key, value in taken.items():
            try:
                values[key] = _COMMON[key](value)
            except WrongValue as wrong:
                self._wrong((*place, key), f"{name}.{key}", str(wrong))
        return Section(stage, plugin, name, settings, where=where, **values)

    def _wrong(self, place: Place, key: str, message: str) -> None:
        self.errors.append(ConfigError(self._file, self._line(place), key, message))

    def _line(self, place: Place) -> int:
        while place and place not in self._lines:
            place = place[:-1]
        return self._lines.get(place, 1)

    def _keys(self, section: Place) -> dict[str, int]:
        """The lines of the keys within the section, by dotted key."""
        depth = len(section)
        return {
            ".".join(map(str, place[depth:])): line
            for place, line in self._lines.items()
            if place[:depth] == section and len(place) > depth
        }


def _missing(plugin: Any) -> str:
    if plugin is None:
        return "missing: the name of the plugin"
    return str(expected("a plugin's name", plugin))


def _timeout(value: Any) -> float:
    seconds = units.duration(value)
    if seconds <= 0:
        raise expected("a duration above 0", value)
    return seconds


def _on_error(value: Any) -> str:
    if value not in ("defer", "skip"):
        raise expected('"defer" or "skip"', value)
    return str(value)


def _on(value: Any) -> frozenset[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise expected("a list of listeners' names", value)
    return frozenset(value)


_COMMON = {"timeout": _timeout, "on_error": _on_error, "on": _on}
