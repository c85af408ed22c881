"""Fills the tables of events in docs/observe.md from the vocabulary: what they say is what is told.

    python docs/write_events.py [--check]

The tables stand between `<!-- events -->` or `<!-- facts -->` and `<!-- end -->`. `--check` writes
nothing and ends with 1 if the page is behind the code.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

from mailframe.message.vocabulary import FACTS, VOCABULARY

PAGE = Path(__file__).parent / "observe.md"
TABLE = re.compile(r"<!-- (events|facts) -->\n.*?<!-- end -->", re.DOTALL)


def events() -> str:
    """A row for each kind of event."""
    lines = ["| stage | verdict | meaning | facts |", "|---|---|---|---|"]
    for row in VOCABULARY:
        verdict = f"`{row.verdict}`" if row.verdict else "a reply"
        facts = ", ".join(f"`{name}`" for name in row.facts)
        facts += ", and the agent's own" if row.is_open else ""
        lines.append(f"| `{row.stage}` | {verdict} | {row.meaning} | {facts} |")
    return "\n".join(lines) + "\n"


def facts() -> str:
    """A row for each fact."""
    lines = ["| fact | meaning |", "|---|---|"]
    lines += [f"| `{name}` | {meaning} |" for name, meaning in FACTS.items()]
    return "\n".join(lines) + "\n"


TABLES: dict[str, Callable[[], str]] = {"events": events, "facts": facts}


def main(check: bool) -> int:
    """1 if `check` finds the page behind the code."""
    text = PAGE.read_text("utf-8")
    new = TABLE.sub(lambda found: f"<!-- {found[1]} -->\n{TABLES[found[1]]()}<!-- end -->", text)
    if new == text:
        return 0
    if check:
        print(f"behind the code (python docs/write_events.py): {PAGE.name}")
        return 1
    PAGE.write_text(new, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv))
