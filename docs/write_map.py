"""Writes the map of the rooms in architecture.md, from pyproject.toml and the modules themselves.

    python docs/write_map.py            # write it
    python docs/write_map.py --check    # exit 1 if it is behind the code

The floors are the layers of the import contract, counted from below. The purpose of a module is the
first line of its docstring.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

HOUSE = Path(__file__).parents[1]
PAGE = HOUSE / "docs" / "architecture.md"
BEGIN, END = "<!-- map -->\n", "<!-- end of map -->\n"


def floors() -> dict[str, int]:
    """The floor of each room by its name in `mailframe`; 1 is the lowest."""
    contracts = tomllib.loads((HOUSE / "pyproject.toml").read_text())["tool"]["importlinter"]
    (layers,) = (each["layers"] for each in contracts["contracts"] if each["type"] == "layers")
    found = {}
    for floor, layer in enumerate(reversed(layers), 1):
        for room in layer.replace("|", ":").split(":"):
            found[room.strip().removeprefix("mailframe.")] = floor
    return found


def first_line(file: Path) -> str:
    """The first paragraph of a module's docstring, in one line."""
    text = ast.get_docstring(ast.parse(file.read_text("utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split("\n"))


def rooms() -> Iterator[tuple[int, str, Path]]:
    """Each room: its floor, its name, its folder or file. KeyError for one on no floor."""
    known = floors()
    root = HOUSE / "mailframe"
    found = [path for path in root.iterdir() if path.is_dir() and (path / "__init__.py").exists()]
    found += [path for path in root.glob("*.py") if path.stem != "__init__"]
    for path in sorted(found, key=lambda path: (known[path.stem], path.stem)):
        yield known[path.stem], path.stem, path


def the_map() -> str:
    """The rooms from the lowest floor up, with a line for each module."""
    lines = []
    for floor, name, path in rooms():
        init = path / "__init__.py" if path.is_dir() else path
        about = first_line(init).removeprefix(f"FLOOR {floor}: ")
        lines.append(f"### {floor}. `{name}`\n\n{about[0].upper()}{about[1:]}\n")
        if path.is_dir():
            lines += [f"- `{module}`: {text}" for module, text in _modules(path)]
            lines.append("")
    return "\n".join(lines)


def _modules(room: Path) -> Iterator[tuple[str, str]]:
    for file in sorted(room.rglob("*.py"), key=lambda file: file.relative_to(room).parts):
        where = file.relative_to(room).with_suffix("").parts
        if where in (("__init__",), ("__main__",)):
            continue
        name = ".".join(part for part in where if part != "__init__")
        yield name, first_line(file)


def filled(text: str) -> str:
    """The page with today's map in it."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{the_map()}\n{END}{after}"


def main(check: bool) -> int:
    """Write or check the page; the exit status."""
    text = PAGE.read_text("utf-8")
    if (new := filled(text)) == text:
        return 0
    if check:
        print("behind the code (python docs/write_map.py): architecture.md")
    else:
        PAGE.write_text(new, "utf-8")
    return int(check)


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv))
