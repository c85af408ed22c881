"""The map in docs/architecture.md, the floors of the import contract and the docstrings agree."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from types import ModuleType

HOUSE = Path(__file__).parents[1]


def write_map() -> ModuleType:
    spec = importlib.util.spec_from_file_location("write_map", HOUSE / "docs" / "write_map.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_map_names_every_module() -> None:
    """architecture.md is what docs/write_map.py makes of the code as it is."""
    assert write_map().main(check=True) == 0, "run python docs/write_map.py"
    text = (HOUSE / "docs" / "architecture.md").read_text("utf-8")
    for file in (HOUSE / "mailframe").rglob("*.py"):
        if file.stem not in ("__init__", "__main__"):
            assert f"`{file.stem}`" in text or f".{file.stem}`" in text, file


def test_each_room_says_its_floor() -> None:
    """A room's docstring begins with the floor that pyproject.toml has it on; no other does."""
    wrong = []
    floors = {path: floor for floor, _, path in write_map().rooms()}
    for file in sorted((HOUSE / "mailframe").rglob("*.py")):
        room = file.parent if file.name == "__init__.py" else file
        text = ast.get_docstring(ast.parse(file.read_text("utf-8"))) or ""
        if room in floors:
            if not text.startswith(f"FLOOR {floors[room]}: "):
                wrong.append(f"{file}: does not begin with FLOOR {floors[room]}")
        elif text.startswith("FLOOR"):
            wrong.append(f"{file}: only rooms say their floor")
    assert not wrong, "\n".join(wrong)


def test_packages_define_nothing() -> None:
    """An __init__.py holds a docstring, imports and the public names of its room."""
    wrong = [
        f"{file.relative_to(HOUSE)}:{node.lineno}"
        for root in ("mailframe", "plugins")
        for file in sorted((HOUSE / root).rglob("__init__.py"))
        for node in ast.parse(file.read_text("utf-8")).body
        if isinstance(
            node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.If | ast.Try
        )
    ]
    assert not wrong, "\n".join(wrong)


def test_a_test_file_is_one_subject() -> None:
    """No file of tests has more than 600 lines."""
    lengths = {
        file: len(file.read_text("utf-8").splitlines())
        for file in (HOUSE / "tests").rglob("*.py")
        if "node_modules" not in file.parts
    }
    long = [f"{file}: {lines}" for file, lines in lengths.items() if lines > 600]
    assert not long, "\n".join(long)
