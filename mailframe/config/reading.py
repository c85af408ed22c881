"""Reads a configuration file into a Composition, and finds all of its mistakes at once."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from ..registry import STAGES
from ..settings import HostSettings, Listener
from . import checks
from .building import settings_of
from .composition import Composition, ConfigError, ConfigErrors, Location, Section
from .convert import Mistakes, convert
from .mending import mended
from .sections import Sections
from .suggest import did_you_mean
from .toml_index import Path as Place
from .toml_index import index

_AT_LINE = re.compile(r" \(at line (\d+), column \d+\)$")


def load(path: Path) -> Composition:
    """Read `mailframe.toml`. Raises ConfigErrors.

    Plugins are found and their settings are checked, but no plugin is built; `compose` does that.
    """
    text = _text(path)
    return _Reading(path, _document(path, text), index(text)).composition()


def _text(path: Path) -> str:
    try:
        octets = path.read_bytes()
    except OSError as wrong:
        raise _only(path, 0, f"cannot be read: {wrong.strerror}") from wrong
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError as wrong:
        line = octets.count(b"\n", 0, wrong.start) + 1
        raise _only(path, line, "is not UTF-8") from wrong


def _document(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as wrong:
        said = str(wrong)
        match = _AT_LINE.search(said)
        line = int(match[1]) if match else text.count("\n") + 1
        raise _only(path, line, f"not TOML: {_AT_LINE.sub('', said)}") from wrong


def _only(path: Path, line: int, message: str) -> ConfigErrors:
    return ConfigErrors((ConfigError(path, line, "", message),))


class _Reading:
    """One document that is being read into a Composition."""

    def __init__(self, file: Path, document: dict[str, Any], lines: Mapping[Place, int]) -> None:
        self._file = file
        self._folder = file.absolute().parent
        self._document = document
        self._lines = lines
        self._errors: list[ConfigError] = []
        self._mended: set[Place] = set()  # where something was removed

    def composition(self) -> Composition:
        reader = Sections(self._document, self._lines, self._file)
        sections = list(reader.read())
        self._errors += reader.errors
        settings = self._settings()
        if "queue" not in self._document:
            self._wrong((), "missing: [queue] says where mail waits", "queue")
        agents = self._document.get("deliver")
        sound = [
            section
            for section in sections
            if self._is_sound(section, settings, agents if isinstance(agents, Mapping) else {})
        ]
        if settings is not None:
            for place, message in checks.check(settings, sections):
                # A missing key here was removed for an error that is reported already.
                if not any(path[: len(place)] == place for path in self._mended):
                    self._wrong(place, message)
        file = self._file.absolute()
        if not self._errors and settings is not None:
            return Composition(settings, tuple(sections), file, self._where(file))
        usable = not self._mended
        partly = None
        if settings is not None and usable:
            # The name servers are parsed again whenever a resolver is made.
            right = replace(settings, dns=replace(settings.dns, servers=()))
            partly = Composition(right, tuple(sound), file, self._where(file))
        raise ConfigErrors(tuple(sorted(self._errors, key=lambda each: each.line)), partly)

    def _where(self, file: Path) -> Location:
        """The lines of the host's own tables."""
        own = {place: line for place, line in self._lines.items() if place[0] not in STAGES}
        return Location(file, 0, {".".join(map(str, place)): own[place] for place in own})

    def _settings(self) -> HostSettings | None:
        """The host's own tables, without wrong values, so that the rest can be checked.

        None if too little remains.
        """
        known = {each.name for each in fields(HostSettings)}
        for key in self._unknown():
            near = did_you_mean(key, known | set(STAGES))
            kind = "table" if isinstance(self._document[key], dict | list) else "key"
            self._wrong((key,), f"unknown {kind}{near}")
        own = {key: value for key, value in self._document.items() if key in known}
        if isinstance(own.get("listen"), Mapping):
            self._wrong(("listen",), "write [[listen]]: there may be several")
            own["listen"] = []
        try:
            settings = convert(own, HostSettings, self._folder)
        except Mistakes as wrong:
            for each in wrong.mistakes:
                self._wrong(each.path, each.message)
            self._mended = {each.path for each in wrong.mistakes}
            own = mended(own, wrong)
            try:
                settings = convert(own, HostSettings, self._folder)
            except Mistakes:
                return None
        listen = own.get("listen", [])
        merged = tuple(
            self._limited(listener, table, settings)
            for listener, table in zip(settings.listen, listen, strict=True)
        )
        return replace(settings, listen=merged)

    def _unknown(self) -> list[str]:
        known = {each.name for each in fields(HostSettings)} | set(STAGES)
        return [key for key in self._document if key not in known]

    def _limited(self, listener: Listener, table: Any, settings: HostSettings) -> Listener:
        """The listener with its own limits, and those of `[limits]` for the rest."""
        if listener.limits is None:
            return listener
        own = {key: getattr(listener.limits, key) for key in table["limits"]}
        return replace(listener, limits=replace(settings.limits, **own))

    def _is_sound(
        self, section: Section, settings: HostSettings | None, agents: Mapping[str, Any]
    ) -> bool:
        """Check a plugin's table without building the plugin; True if nothing is wrong with it."""
        found = len(self._errors)
        try:
            converted = settings_of(section, self._folder)[1]
        except ConfigErrors as wrong:
            self._errors += wrong.errors
            converted = section.settings
        complaints = list(checks.agent_of(section, converted, agents))
        if settings is not None:
            complaints += checks.listeners_of(section, settings)
        self._errors += [section.error(str(place[0]), said) for place, said in complaints]
        return len(self._errors) == found

    def _wrong(self, place: Place, message: str, key: str = "") -> None:
        at = place
        while at and at not in self._lines:
            at = at[:-1]
        key = key or ".".join(part for part in place if isinstance(part, str))
        self._errors.append(ConfigError(self._file, self._lines.get(at, 1), key, message))
