"""What the docs say is so: messages, commands and links that they name exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest

from mailframe.command_line import main

HOUSE = Path(__file__).parents[1]
PAGES = [*sorted((HOUSE / "docs").glob("*.md")), HOUSE / "README.md", HOUSE / "CHANGELOG.md"]
PAGES += sorted((HOUSE / "examples").rglob("README.md"))
HOLE = "\0"  # stands for what is filled in when the message is made
LINK = re.compile(r"\]\(([^)\s]+)\)")
REPLY = re.compile(r"\d{3} \d\.\d+\.\d+ ")
COMMAND = re.compile(r"mailframe (?:-c \S+ )?(user|queue) ([a-z]+)\b")


def text_of(node: ast.expr) -> str | None:
    """A text or f-string of the code, with a HOLE for each value; None for other expressions."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.sub(r"\{\w[^{}]*\}", HOLE, node.value)
    if isinstance(node, ast.JoinedStr):
        parts = (text_of(each) if isinstance(each, ast.Constant) else HOLE for each in node.values)
        return "".join(part or "" for part in parts)
    return None


def texts(tree: ast.AST) -> Iterator[str]:
    """All texts, and replies as the client reads them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.expr) and (text := text_of(node)):
            yield text
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Reply":
            code, *words = node.args
            if isinstance(code, ast.Constant) and len(words) == 2:
                yield f"{code.value} {text_of(words[1]) or HOLE} {text_of(words[0]) or HOLE}"


@cache
def known() -> frozenset[str]:
    """Every text of the code that may be a message."""
    found: set[str] = set()
    for root in ("mailframe", "plugins"):
        for file in (HOUSE / root).rglob("*.py"):
            found.update(texts(ast.parse(file.read_text("utf-8"))))
    return frozenset(text for text in found if len(text.replace(HOLE, "")) >= 8)


def exists(message: str) -> bool:
    """True if it is in a text of the code, or such a text is half of it; "…" is anything."""
    said, half = message.replace("…", "X"), len(message.replace("…", "")) / 2
    part = re.compile(".*".join(map(re.escape, message.split("…"))), re.DOTALL)
    for text in known():
        if REPLY.match(message) and not REPLY.match(text):
            continue  # the code has to be right, too
        if part.search(text):
            return True
        if len(text.replace(HOLE, "")) >= half:
            whole = re.escape(text).replace(re.escape(HOLE), ".*")
            if text in said or (HOLE in text and re.search(whole, said)):
                return True
    return False


def messages() -> list[str]:
    """The first column of the tables in operations.md between the marks."""
    page = (HOUSE / "docs" / "operations.md").read_text("utf-8")
    tables = page.partition("<!-- messages -->")[2].partition("<!-- end -->")[0]
    cells = [line.split(" | ")[0] for line in tables.splitlines() if line.startswith("| `")]
    return [found for cell in cells for found in re.findall(r"(?<!`)`+(.+?)`+(?:,|$)", cell[2:])]


@pytest.mark.parametrize("message", messages())
def test_a_message_of_the_troubleshooting_is_one_of_the_code(message: str) -> None:
    """Word for word, but for what is filled in."""
    assert exists(message)


def test_messages_that_are_made_up_are_found() -> None:
    """The test above could fail."""
    assert len(messages()) > 40
    assert not exists("the flux capacitor of … is empty")
    assert not exists("550 5.7.2 Relaying denied")
    assert exists("550 5.7.1 Relaying denied")


def anchors(page: Path) -> set[str]:
    """What can stand after # in a link to the page, as GitHub makes it of headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    plain = (re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading) for heading in headings)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(HOUSE)))
def test_links_lead_somewhere(page: Path) -> None:
    """To a file or folder of the checkout, and to a heading in it."""
    wrong = []
    for link in LINK.findall(page.read_text("utf-8")):
        if "://" in link:
            continue
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            wrong.append(link)
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(HOUSE)))
def test_commands_exist(page: Path) -> None:
    """Each `mailframe user …` and `mailframe queue …` that is written as if it could be typed."""
    blocks = re.findall(r"^    .*|`[^`\n]+`", page.read_text("utf-8"), re.MULTILINE)
    for group, command in COMMAND.findall("\n".join(blocks)):
        parent = main.get_command(click.Context(main), group)
        assert isinstance(parent, click.Group)
        assert command in parent.list_commands(click.Context(parent)), f"{group} {command}"
