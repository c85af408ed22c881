"""FLOOR 9: reads `mailframe.toml` and builds Hooks; every mistake is told with its line.

- `composition`: what a configuration says, as values.
- `toml_index`: which line of the file says what.
- `convert`, `units`: tables into settings dataclasses.
- `sections`: the tables of plugins.
- `checks`: what must fit together.
- `reading`: a file into a Composition.
- `building`: a Composition into Hooks.
- `mailboxes`: what `[mailboxes]` says.
- `describe`: settings as rows for people.
- `suggest`: the nearest right word for a wrong one.
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
