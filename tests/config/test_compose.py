"""A composition becomes Hooks: every plugin built, every complaint at its key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock

from mailframe.config import Composition, ConfigErrors, Location, Section, compose, load
from mailframe.hooks import Hooks
from mailframe.interfaces import IQueueStore
from mailframe.plugin import Duration, Site
from mailframe.settings import HostSettings, QueueTimes
from mailframe.smtp.reply import RECIPIENT_OK
from mailframe.testing.values import envelope, recipient, site

PLUGINS = """\
from mailframe.plugin import Filter, SettingError
from mailframe.smtp.reply import RECIPIENT_OK

class Named:
    def __init__(self, settings, site):
        self.settings, self.site = settings, site

class Policy(Named):
    def judge(self, envelope, recipient):
        return RECIPIENT_OK

class Router(Named):
    def route(self, envelope, recipient):
        return None

class Agent(Named):
    def deliver(self, message, routes):
        return ()

class Sieve(Named, Filter):
    pass

class Watcher(Named):
    wants = None
    def observe(self, event):
        return None

class Fussy:
    def __init__(self, settings, site):
        raise SettingError("port", "expected a port that is free")

class Missing:
    def __init__(self, settings, site):
        open("/nothing/there")

class Buggy:
    def __init__(self, settings, site):
        settings["nothing"]

class Speechless(Named):
    pass
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pieces.py").write_text(PLUGINS)
    return tmp_path


def settings(folder: Path, **more: Any) -> HostSettings:
    return HostSettings("mx.example.org", folder / "state", **more)


def composed(folder: Path, *sections: Section, **more: Any) -> Hooks:
    clock = Clock()
    lent: list[str] = []

    def site_for(section: Section) -> Site:
        lent.append(section.name)
        return site(folder, reactor=clock, name=section.name)

    file = folder / "mailframe.toml"
    hooks = compose(Composition(settings(folder, **more), sections, file), site_for)
    assert lent[0] == "host"
    assert hooks.reactor is clock
    return hooks


def test_plugins_are_built_in_their_places(folder: Path) -> None:
    """In the order of the sections, with what each section says."""
    hooks = composed(
        folder,
        Section("deliver", "pieces:Agent", "archive", {"path": "x"}),
        Section("deliver", "pieces:Agent", "deliver.other", timeout=3.0),
        Section("relay", "pieces:Policy", settings={"n": 1}, on=frozenset({"mx"})),
        Section("relay", "pieces:Policy", settings={"n": 2}, timeout=4.0),
        Section("filter", "pieces:Sieve", on_error="skip"),
        Section("route", "pieces:Router"),
        Section("observe", "pieces:Watcher"),
        retry=QueueTimes(attempt_timeout=Duration(77.0)),
    )
    assert [bound.plugin.settings for bound in hooks.relay] == [{"n": 1}, {"n": 2}]
    assert [bound.timeout for bound in hooks.relay] == [30.0, 4.0]
    assert hooks.relay[0].on == {"mx"}
    assert hooks.filters[0].on_error == "skip"
    assert list(hooks.agents) == ["archive", "other"]
    assert [bound.timeout for bound in hooks.agents.values()] == [77.0, 3.0]
    assert hooks.agents["archive"].plugin.site.name == "deliver.archive"
    assert (hooks.store, len(hooks.observers), len(hooks.routes)) == (None, 1, 1)
    assert hooks.judge(envelope(), recipient()) == RECIPIENT_OK


def test_whose_code_it_is_is_named(folder: Path) -> None:
    """An agent goes by its section's name; the log must not blame the stock plugin of that name."""
    hooks = composed(
        folder,
        Section("deliver", "pieces:Agent", "maildir"),
        Section("deliver", "discard", "deliver.discard"),
        Section("relay", "pieces:Policy"),
    )
    assert hooks.agents["maildir"].label == "pieces:Agent ([deliver.maildir])"
    assert hooks.agents["discard"].label == "discard"
    assert hooks.relay[0].label == "pieces:Policy"


def test_every_complaint_comes_at_once(folder: Path) -> None:
    """A plugin's SettingError at its key, what else it raises at its section."""
    file = folder / "mailframe.toml"

    def at(line: int) -> Location:
        return Location(file, line, {"port": line + 2, "plugin": line + 1})

    with pytest.raises(ConfigErrors) as raised:
        composed(
            folder,
            Section("relay", "pieces:Speechless", where=at(40)),
            Section("relay", "pieces:Fussy", where=at(10)),
            Section("route", "pieces:Missing", where=at(20)),
            Section("deliver", "pieces:Buggy", "box", where=at(30)),
            Section("rout", "pieces:Router", where=at(50)),
            Section("relay", "no_such_plugin", where=at(60)),
        )
    lines = [str(each).replace(f"{folder}/", "") for each in raised.value.errors]
    assert lines[0] == "mailframe.toml:12: relay.port: expected a port that is free"
    assert lines[1].startswith("mailframe.toml:20: route: cannot be built: [Errno 2]")
    assert lines[2] == "mailframe.toml:30: deliver.box: cannot be built: KeyError: 'nothing'"
    assert lines[3].startswith("mailframe.toml:41: relay.plugin: plugin 'pieces:Speechless'")
    assert lines[4] == "mailframe.toml:50: rout: there is no stage 'rout'; did you mean \"route\"?"
    assert lines[5].startswith("mailframe.toml:61: relay.plugin: there is no relay plugin")


def test_a_composition_of_pythons_needs_no_file(folder: Path) -> None:
    """Its mistakes have a section and a key instead of a line."""
    with pytest.raises(ConfigErrors) as raised:
        compose(
            Composition(
                settings(folder),
                (
                    Section("route", "mailboxes", settings={"deliver": "maildri", "domains": 3}),
                    Section("deliver", "maildir"),
                    Section("relay", "authenticated", on=frozenset({"mx"})),
                ),
            ),
            lambda section: site(folder),
        )
    found = [str(each) for each in raised.value.errors]
    assert (
        'composition: route.deliver: there is no [deliver.maildri]; did you mean "maildir"?'
        in found
    )
    assert any(
        each.startswith('composition: relay.on: there is no listener "mx"') for each in found
    )
    assert any(each.startswith("composition: route.domains: expected") for each in found)


def test_one_queue_is_enough(folder: Path) -> None:
    """A second one is a mistake."""
    hooks = composed(folder, Section("queue", "memory"))
    assert IQueueStore.providedBy(hooks.store)
    with pytest.raises(ConfigErrors, match="there is another"):
        composed(folder, Section("queue", "memory"), Section("queue", "memory"))


def test_the_whole_way_from_a_file(folder: Path) -> None:
    """load, then compose."""
    (folder / "mailframe.toml").write_text(
        'hostname = "mx.example.org"\nstate = "s"\n[[relay]]\nplugin = "pieces:Policy"\n'
        'n = [1]\n[queue]\nplugin = "memory"\n'
    )
    composition = load(folder / "mailframe.toml")
    hooks = compose(composition, lambda section: site(folder))
    assert hooks.relay[0].plugin.settings == {"n": [1]}
    assert hooks.relay[0].name == "pieces:Policy"
    assert hooks.store is not None
