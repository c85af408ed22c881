"""What a configuration says, as values: the host's settings, and a Section for each plugin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..settings import HostSettings


@dataclass(frozen=True, slots=True)
class Location:
    """A place in a file, for errors to point to. `line` counts from 1; 0 means no line.

    `keys` are the lines of the section's own keys, such as "path" or "credentials.user".
    """

    file: Path | None = None
    line: int = 0
    keys: Mapping[str, int] = field(default_factory=dict, repr=False, compare=False)

    def of(self, key: str) -> Location:
        """The line of that key, or that of the section if the key is not written."""
        while key and key not in self.keys:
            key = key.rpartition(".")[0]
        return Location(self.file, self.keys.get(key, self.line))

    def __str__(self) -> str:
        if self.file is None:
            return "composition"
        return f"{self.file}:{self.line}" if self.line else str(self.file)


@dataclass(frozen=True, slots=True)
class ConfigError:
    """One mistake: its place, the key, and what was expected, in words for the operator."""

    file: Path | None
    line: int
    key: str
    message: str

    def __str__(self) -> str:
        where = str(Location(self.file, self.line))
        return f"{where}: {self.key}: {self.message}" if self.key else f"{where}: {self.message}"


class ConfigErrors(Exception):
    """All mistakes of a configuration, in the order of its lines.

    `sound` is the part that can be built, without the sections that have a mistake; compose it to
    find the plugins' own errors as well. It is None if the host's settings are wrong.
    """

    def __init__(self, errors: tuple[ConfigError, ...], sound: Composition | None = None) -> None:
        super().__init__("\n".join(map(str, errors)))
        self.errors = errors
        self.sound = sound


@dataclass(frozen=True, slots=True)
class Section:
    """One plugin's table. `settings` are its own keys, as TOML gives them.

    `name` is "deliver.archive" for an agent, else the stage ("relay"). `timeout` is in seconds, for
    one answer; None means the default of the stage. `on_error` is for filters. `on` names
    listeners; None means all.
    """

    stage: str
    plugin: str
    name: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    timeout: float | None = None
    on_error: Literal["defer", "skip"] = "defer"
    on: frozenset[str] | None = None
    where: Location = field(default_factory=Location)

    def __post_init__(self) -> None:
        name = self.name or self.stage
        if self.stage == "deliver" and not name.startswith("deliver."):
            name = f"deliver.{self.name or self.plugin}"
        object.__setattr__(self, "name", name)

    @property
    def agent(self) -> str:
        """The NAME of `[deliver.NAME]`, by which a Route names the agent."""
        return self.name.removeprefix("deliver.")

    def error(self, key: str, message: str) -> ConfigError:
        """A mistake at one of the section's keys; "" is the section itself."""
        place = self.where.of(key)
        return ConfigError(
            place.file, place.line, f"{self.name}.{key}" if key else self.name, message
        )


@dataclass(frozen=True, slots=True)
class Composition:
    """A whole host. `file` is the configuration that it was read from; None if Python code made it.

    `where` has the lines of the host's own tables, by dotted key ("tls.certificates").
    """

    settings: HostSettings
    sections: tuple[Section, ...]
    file: Path | None = None
    where: Location = field(default_factory=Location)

    @property
    def folder(self) -> Path:
        """The folder that relative paths begin at."""
        return self.file.absolute().parent if self.file else Path.cwd()

    def error(self, key: str, message: str) -> ConfigError:
        """A mistake in the host's own tables; `key` includes the tables around it."""
        place = self.where.of(key)
        return ConfigError(place.file, place.line, key, message)
