"""Fills the tables of settings in docs/*.md from the code, so that they cannot disagree with it.

    python docs/write_settings.py [--check]

A table stands between `<!-- settings: WHAT -->` and `<!-- end -->`. WHAT is a class of
mailframe.settings or "STAGE NAME" of a stock plugin. `--check` writes nothing, and ends with 1 if a
page is behind the code.
"""

from __future__ import annotations

import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from mailframe import settings
from mailframe.config import describe

DOCS = Path(__file__).parent
TABLE = re.compile(r"<!-- settings: (.+?) -->\n.*?<!-- end -->", re.DOTALL)


def class_of(what: str) -> type[Any]:
    """The settings dataclass that a marker names."""
    stage, _, name = what.partition(" ")
    if not name:
        found: type[Any] = getattr(settings, what)
        return found
    declared: type[Any] = import_module(f"mailframe_plugins.{stage}_{name}").plugin.settings
    return declared


def table(what: str) -> str:
    """The rows of one class; those of tables inside it stand under their own marker."""
    rows = [row for row in describe(class_of(what)) if "." not in row.key]
    if not rows:
        return "It has no settings of its own.\n"
    lines = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for row in rows:
        default = "required" if row.default is None else f"`{row.default}`" if row.default else ""
        meaning = row.meaning.replace("|", "\\|")
        lines.append(f"| `{row.key}` | {row.type} | {default} | {meaning} |")
    return "\n".join(lines) + "\n"


def filled(text: str) -> str:
    """A page's text with every table as the code has it now."""
    return TABLE.sub(
        lambda found: f"<!-- settings: {found[1]} -->\n{table(found[1])}<!-- end -->", text
    )


def main(check: bool) -> int:
    """Write or check the pages; 1 if `check` finds one that is behind the code."""
    behind = []
    for page in sorted(DOCS.glob("*.md")):
        text = page.read_text("utf-8")
        if (new := filled(text)) != text:
            behind.append(page.name)
            if not check:
                page.write_text(new, "utf-8")
    if check and behind:
        print("behind the code (python docs/write_settings.py):", ", ".join(behind))
    return int(check and bool(behind))


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv))
