"""What exists is documented: every stock plugin, setting and command, by its name."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import pytest

from mailframe import registry, settings
from mailframe.command_line import main
from mailframe.plugin import Plugin

HOUSE = Path(__file__).parents[1]
PLUGINS = HOUSE / "plugins" / "mailframe_plugins"
TOML_BLOCK = re.compile(r"^```toml\n(.*?)^```", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
STAGES = tuple(registry.STAGES)


def stock() -> list[str]:
    """The modules of all stock plugins: "route_mx"."""
    return sorted(file.stem for file in PLUGINS.glob("*_*.py") if file.stem != "__init__")


def declared(module: str) -> Plugin:
    """The plugin that a module declares."""
    plugin = import_module(f"mailframe_plugins.{module}").plugin
    assert isinstance(plugin, Plugin), f"{module}.plugin is no Plugin"
    return plugin


def docs() -> dict[str, str]:
    """The text of each page in docs/, and README.md."""
    pages = [*sorted((HOUSE / "docs").rglob("*.md")), HOUSE / "README.md"]
    return {page.name: page.read_text("utf-8") for page in pages}


def examples() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each whole configuration under examples/, and each TOML block of the docs."""
    for file in sorted((HOUSE / "examples").rglob("*.toml")):
        yield str(file.relative_to(HOUSE)), tomllib.loads(file.read_text("utf-8"))
    for page, text in docs().items():
        for block in TOML_BLOCK.findall(text):
            try:
                yield page, tomllib.loads(block)
            except tomllib.TOMLDecodeError as wrong:
                pytest.fail(f"{page}: a toml block cannot be read: {wrong}\n{block}")


def shown(stage: str, plugin: str) -> bool:
    """Whether an example uses this plugin at this stage."""
    for _, tables in examples():
        found = tables.get(stage, [])
        if stage == "deliver" and isinstance(found, dict):
            found = list(found.values())
        sections = found if isinstance(found, list) else [found]
        if any(isinstance(one, dict) and one.get("plugin") == plugin for one in sections):
            return True
    return False


def plugin_tests() -> str:
    """The text of all tests of plugins."""
    files = sorted((HOUSE / "tests" / "plugins").glob("test_*.py"))
    return "\n".join(file.read_text("utf-8") for file in files)


def missing_for(module: str) -> Iterator[str]:
    """What there is not yet for one stock plugin."""
    stage = max((each for each in STAGES if module.startswith(f"{each}_")), key=len, default="")
    name = module.removeprefix(f"{stage}_")
    plugin = declared(module)
    if stage not in STAGES or plugin.name != name:
        yield f"{module}: is named for neither a stage nor its plugin {plugin.name!r}"
    if f"mailframe_plugins.{module} " not in plugin_tests():
        yield f"{module}: no test in tests/plugins imports it"
    if not shown(stage, name):
        yield f'{module}: no example or toml block of docs/ has plugin = "{name}" in {stage}'
    page = docs().get(f"{stage}.md", "")
    if not any(f"`{name}`" in heading for heading in HEADING.findall(page)):
        yield f"{module}: docs/{stage}.md has no heading with `{name}`"
    for field in dataclasses.fields(plugin.settings):
        if f"`{field.name}`" not in page:
            yield f"{module}: docs/{stage}.md does not explain its setting `{field.name}`"


def test_every_stock_plugin_is_shown_tested_and_documented() -> None:
    """A plugin has a section in its stage's page, each setting there, an example and a test."""
    assert stock(), f"no plugins in {PLUGINS}"
    missing = [line for module in stock() for line in missing_for(module)]
    assert not missing, f"{len(missing)} missing:\n  " + "\n  ".join(missing)


def contracts() -> dict[str, list[str]]:
    """The contract tests of mailframe.testing, by the stage whose interface each one tests."""
    found: dict[str, list[str]] = {}
    for file in sorted((HOUSE / "mailframe" / "testing").glob("*.py")):
        module = import_module(f"mailframe.testing.{file.stem}")
        for name, each in vars(module).items():
            if name.endswith("Contract") and each.__module__ == module.__name__:
                interface = getattr(each, "interface", None)
                for stage, wanted in registry.STAGES.items():
                    if interface in (wanted, *registry.ALTERNATIVES.get(stage, ())):
                        found.setdefault(stage, []).append(name)
    return found


def test_every_hook_is_shown_tested_and_documented() -> None:
    """A stage has a page, a contract test, an example, and its line in the author's guide."""
    guide = docs()["plugin-author.md"]
    shown_stages = {stage for _, tables in examples() for stage in tables}
    missing = []
    for stage in STAGES:
        if f"{stage}.md" not in docs():
            missing.append(f"docs/{stage}.md")
        if f"- **{stage}**:" not in guide:
            missing.append(f"docs/plugin-author.md: stage by stage: {stage}")
        if stage not in contracts():
            missing.append(f"mailframe.testing: a contract test for {stage}")
        if stage not in shown_stages:
            missing.append(f"an example with {stage}")
    assert not missing, "\n  ".join(missing)


def test_the_keys_that_the_host_takes_are_documented() -> None:
    """The guide's table has each stage's keys, and no others."""
    guide = docs()["plugin-author.md"]
    table = guide.partition("<!-- common keys -->")[2].partition("<!-- end -->")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")]
    told = {stage: tuple(re.findall(r"`(\w+)`", keys)) for stage, keys in rows[1:]}
    assert told == dict(registry.COMMON_KEYS)


def test_the_contract_tests_are_documented() -> None:
    """The guide names each one, in the row of its stage, and where to import it from."""
    rows = dict(re.findall(r"^\| (\w+) \| (`.*Contract`) \|$", docs()["plugin-author.md"], re.M))
    for stage, names in contracts().items():
        for name in set(names) - {"DraftContract"}:  # a part of QueueStoreContract
            assert f".{name}`" in rows[stage], (stage, name)
    for cell in rows.values():
        for module, name in re.findall(r"`(\w+)\.(\w+)`", cell):
            assert hasattr(import_module(f"mailframe.testing.{module}"), name), name


def test_every_setting_of_the_host_is_documented() -> None:
    """Each key that is not a plugin's stands in backticks in docs/."""
    text = "\n".join(docs().values())
    tables = (
        settings.HostSettings, settings.Listener, settings.Limits, settings.TlsSettings,
        settings.DnsSettings, settings.QueueTimes, settings.BounceSettings,
    )  # fmt: skip
    missing = [
        f"{table.__name__}.{field.name}"
        for table in tables
        for field in dataclasses.fields(table)
        if f"`{field.name}`" not in text
    ]
    assert not missing, "not in docs/ as `key`:\n  " + "\n  ".join(missing)


def commands(group: click.Group, path: tuple[str, ...]) -> Iterator[str]:
    """Every command that can be typed: "mailframe queue list"."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name))


def test_every_command_is_documented() -> None:
    """Each command stands in docs/ as it is typed."""
    text = "\n".join(docs().values())
    missing = [command for command in commands(main, ("mailframe",)) if command not in text]
    assert not missing, "not in docs/:\n  " + "\n  ".join(missing)
