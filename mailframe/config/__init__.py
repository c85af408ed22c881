"""FLOOR 9: `mailframe.toml` into Hooks, every mistake at once with its line and the right word.

`composition` what is read, as values; `toml_index` which line says what; `convert` and
`units` tables into settings dataclasses; `sections` the plugins' tables; `checks` what must
fit together; `reading` a file into a Composition; `building` a Composition into Hooks;
`mailboxes` what `[mailboxes]` says; `describe` settings as rows for people; `suggest` the
nearest right word.
"""

from .building import compose
from .composition import Composition, ConfigError, ConfigErrors, Location, Section
from .describe import DescribedKey, describe
from .mailboxes import mailboxes_of
from .reading import load

__all__ = [
    "Composition",
    "ConfigError",
    "ConfigErrors",
    "DescribedKey",
    "Location",
    "Section",
    "compose",
    "describe",
    "load",
    "mailboxes_of",
]
