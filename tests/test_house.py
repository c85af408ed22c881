"""The house keeps its shape: floors, sizes, docstrings, and no reactor at the top of a module."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

HOUSE = Path(__file__).parents[1]
MAX_FILE = 400  # lines
MAX_FUNCTION = 40  # lines
SHARED_WORDS = {  # public classes of one name, and where they are
    # RFC 5321 section 3.3 has one word for both ends of a mail transaction.
    "Transaction": "mailframe/reception/transaction.py mailframe/transmission/transaction.py",
    # What is asked of a plugin, and of a host: neither is ever seen beside the other.
    "Question": "mailframe/hooks/question.py mailframe/host/control/question.py",
    # Two protocols that have the same words for the same things; no room imports both.
    **{
        word: f"mailframe/pop3/{module}.py mailframe/smtp/{module}.py"
        for module, words in {
            "command": "Auth Noop Quit Rset",
            "event": "AuthLine Rejected",
            "inbox": "Inbox",
            "offer": "Offer",
            "order": "State",
            "refusals": "Standing",
            "reply": "Reply",
            "server": "ServerDialogue",
        }.items()
        for word in words.split()
    },
}


def sources() -> list[Path]:
    """Every Python file that an operator runs."""
    roots = ("mailframe", "plugins", "twisted", "examples")
    return sorted(file for root in roots for file in (HOUSE / root).rglob("*.py"))


def name(file: Path) -> str:
    return str(file.relative_to(HOUSE))


def trees() -> Iterator[tuple[str, ast.Module]]:
    for file in sources():
        yield name(file), ast.parse(file.read_text("utf-8"))


def assert_none(found: list[str], rule: str) -> None:
    assert not found, f"{rule}:\n  " + "\n  ".join(found)


def test_imports_run_down_the_floors() -> None:
    """import-linter finds every contract of pyproject.toml kept."""
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter], cwd=HOUSE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_file_is_one_idea() -> None:
    """No source file has more than 400 lines."""
    lengths = {name(file): len(file.read_text("utf-8").splitlines()) for file in sources()}
    long = [f"{file}: {lines} lines" for file, lines in lengths.items() if lines > MAX_FILE]
    assert_none(long, f"files of more than {MAX_FILE} lines")


def test_a_function_fits_in_sight() -> None:
    """No function has more than 40 lines, its docstring included."""
    long = []
    for file, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > MAX_FUNCTION:
                    long.append(f"{file}:{node.lineno}: {node.name}: {lines} lines")
    assert_none(long, f"functions of more than {MAX_FUNCTION} lines")


def test_every_module_says_what_it_is_for() -> None:
    """Each file begins with a docstring."""
    silent = [file for file, tree in trees() if not ast.get_docstring(tree)]
    assert_none(silent, "modules without a docstring")


def test_public_things_have_docstrings() -> None:
    """Public classes and functions at the top of a module say what they are for."""
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    silent = [
        f"{file}:{node.lineno}: {node.name}"
        for file, tree in trees()
        for node in tree.body
        if isinstance(node, kinds) and not node.name.startswith("_")
        if not ast.get_docstring(node)
    ]
    assert_none(silent, "public names without a docstring")


def test_nobody_imports_the_reactor_at_the_top() -> None:
    """The reactor is a parameter; whoever makes the service imports it inside a function."""
    early = [
        f"{file}:{node.lineno}"
        for file, tree in trees()
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        and node.module == "twisted.internet"
        and any(alias.name == "reactor" for alias in node.names)
    ]
    assert_none(early, "modules that import the reactor when they are imported")


def test_one_word_means_one_thing() -> None:
    """No two public classes have the same name; plugins' Settings and SHARED_WORDS are let be."""
    places: dict[str, list[str]] = {}
    for file, tree in trees():
        if file.startswith(("mailframe/", "plugins/")):
            for node in tree.body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    places.setdefault(node.name, []).append(file)
    twice = {word: " ".join(files) for word, files in places.items() if len(files) > 1}
    settings = twice.pop("Settings").split()
    assert all(file.startswith("plugins/") for file in settings), settings
    assert twice == SHARED_WORDS
