"""Finding plugins by name and beside the configuration; broken ones are named with the reason."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from twisted.application.service import IService, Service
from twisted.cred.checkers import AllowAnonymousAccess, FilePasswordDB
from zope.interface import implementer

import mailframe_plugins
from mailframe import registry
from mailframe.interfaces import IObserver, IRelayPolicy, IStoredKeys, ITokenChecker
from mailframe.plugin import NoSettings, Plugin
from mailframe.registry import PluginError, UnknownPlugin
from mailframe.testing.values import site

POLICY = """
from zope.interface import implementer
from mailframe.interfaces import IRelayPolicy
from mailframe.plugin import NoSettings, Plugin

@implementer(IRelayPolicy)
class Policy:
    def __init__(self, settings, site):
        self.settings = settings
    def judge(self, envelope, recipient):
        return None

plugin = Plugin("{name}", IRelayPolicy, NoSettings, Policy)
"""


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Path]]:
    """Two more folders where plugins meet, forgotten afterwards."""
    folders = [tmp_path / name / "mailframe_plugins" for name in ("one", "two")]
    for folder in folders:
        folder.mkdir(parents=True)
    before = set(sys.modules)
    old = list(mailframe_plugins.__path__)
    monkeypatch.setattr(mailframe_plugins, "__path__", [*old, *map(str, folders)])
    yield folders
    for name in set(sys.modules) - before:
        if name.startswith(("mailframe_plugins.relay_t", "mailframe_plugins.acme_", "beside_")):
            del sys.modules[name]


def test_a_plugin_of_any_place_is_found(places: list[Path]) -> None:
    """relay_thing.py in a mailframe_plugins folder is `plugin = "thing"` in [[relay]]."""
    (places[1] / "relay_thing.py").write_text(POLICY.format(name="thing"))
    plugin = registry.find("relay", "thing")
    built = registry.build(plugin, "relay", NoSettings(), site())
    assert built.judge(None, None) is None
    assert "thing" in registry.known("relay")
    assert "thing" not in registry.known("route")


def test_an_owner_may_stand_in_front(places: list[Path]) -> None:
    """acme_relay_thing.py is `plugin = "acme_thing"`."""
    (places[0] / "acme_relay_thing.py").write_text(POLICY.format(name="acme_thing"))
    assert registry.find("relay", "acme_thing").interface is IRelayPolicy
    assert "acme_thing" in registry.known("relay")


def test_only_what_is_named_is_imported(places: list[Path]) -> None:
    """A broken plugin that nobody asked for harms nobody."""
    (places[0] / "relay_tbroken.py").write_text("raise RuntimeError('imported')")
    (places[0] / "relay_thing.py").write_text(POLICY.format(name="thing"))
    registry.find("relay", "thing")
    assert "tbroken" in registry.known("relay")


@pytest.mark.parametrize(
    ("method", "meant"), [("rcpt", "recipient"), ("data", "content"), ("ehlo", "hello")]
)
def test_a_filter_whose_method_is_misnamed(tmp_path: Path, method: str, meant: str) -> None:
    """It would never be asked: that is said at once."""
    source = f"""
from mailframe.plugin import Filter
class F(Filter):
    def __init__(self, settings, site): ...
    def sender(self, envelope): ...
    def {method}(self, *args): ...
"""
    (tmp_path / f"beside_{method}.py").write_text(source)
    plugin = registry.find("filter", f"beside_{method}:F", tmp_path)
    with pytest.raises(PluginError, match=f"'{method}' is never asked; did you mean '{meant}'?"):
        registry.build(plugin, "filter", {}, site())


@pytest.mark.parametrize("source", [".", "src"])
def test_a_distribution_that_is_edited_in_its_place(
    places: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    """`pip install -e` may put none of its folders on Python's path."""
    project = tmp_path / "a project"
    plugins = project / source / "mailframe_plugins"
    plugins.mkdir(parents=True)
    (plugins / "relay_tedited.py").write_text(POLICY.format(name="tedited"))
    info = tmp_path / "site" / "acme-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    origin = {"url": project.as_uri(), "dir_info": {"editable": True}}
    (info / "direct_url.json").write_text(json.dumps(origin))
    monkeypatch.syspath_prepend(str(info.parent))
    registry._editable_folders.cache_clear()
    try:
        assert registry.find("relay", "tedited").interface is IRelayPolicy
    finally:
        registry._editable_folders.cache_clear()


def test_two_of_one_name_refuse(places: list[Path]) -> None:
    """Both places are named."""
    for place in places:
        (place / "relay_thing.py").write_text(POLICY.format(name="thing"))
    with pytest.raises(PluginError, match=r"named 'thing': .*one.*relay_thing and .*two"):
        registry.find("relay", "thing")


def test_an_unknown_name() -> None:
    """The stage and the name are in the message."""
    with pytest.raises(UnknownPlugin, match="no relay plugin 'nothing'"):
        registry.find("relay", "nothing")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise RuntimeError('out of tea')", "cannot be imported: RuntimeError: out of tea"),
        ("import no_such_module", "cannot be imported: ModuleNotFoundError"),
        ("def (", "cannot be imported: SyntaxError"),
        ("x = 1", "has no `plugin = Plugin"),
        (POLICY.format(name="other"), "calls itself 'other', its file is for 'tbad'"),
        (POLICY.format(name="tbad").replace("IRelayPolicy, NoS", "IRouter, NoS"), "NameError"),
        (
            POLICY.format(name="tbad")
            .replace("import IRelayPolicy", "import IRelayPolicy, IRouter")
            .replace("IRelayPolicy, NoS", "IRouter, NoS"),
            "provides IRouter, a relay plugin provides IRelayPolicy",
        ),
    ],
)
def test_a_broken_plugin_is_named_with_the_reason(
    places: list[Path], source: str, reason: str
) -> None:
    """The operator reads which plugin and why."""
    (places[0] / "relay_tbad.py").write_text(source)
    with pytest.raises(PluginError, match="tbad") as raised:
        registry.find("relay", "tbad")
    assert reason in str(raised.value)


def test_a_setting_may_not_have_a_name_of_the_hosts() -> None:
    """`timeout` and `on` of a section never reach the plugin, so it cannot have them."""
    source = """
from dataclasses import dataclass
class Policy:
    @dataclass(frozen=True)
    class Settings:
        timeout: float = 1.0
    def __init__(self, settings, site): pass
    def judge(self, envelope, recipient): pass
"""
    with pytest.raises(PluginError, match="'timeout', which is a key of the host's own"):
        _beside_with(source)


def _beside_with(source: str, folder: Path | None = None) -> Plugin:
    import tempfile

    place = folder or Path(tempfile.mkdtemp())
    name = f"beside_{abs(hash(source))}"
    (place / f"{name}.py").write_text(source)
    return registry.find("relay", f"{name}:Policy", place)


def test_a_class_beside_the_configuration(tmp_path: Path) -> None:
    """It takes (settings: dict, site), needs no Plugin, and leaves no trace on Python's path."""
    before = list(sys.path)
    source = """
class Policy:
    def __init__(self, settings, site):
        self.settings = settings
    def judge(self, envelope, recipient):
        return None
"""
    plugin = _beside_with(source, tmp_path)
    built = registry.build(plugin, plugin_stage := "relay", {"domains": ["x"]}, site())
    assert plugin.settings is dict and plugin_stage == "relay"
    assert built.settings == {"domains": ["x"]}
    assert sys.path == before


def test_a_class_with_settings_of_its_own(tmp_path: Path) -> None:
    """A dataclass `Settings` inside it says what it takes."""
    source = """
from dataclasses import dataclass
class Policy:
    @dataclass(frozen=True)
    class Settings:
        domain: str
    def __init__(self, settings, site): pass
    def judge(self, envelope, recipient): pass
"""
    assert _beside_with(source, tmp_path).settings.__name__ == "Settings"


def test_each_configuration_has_its_own_files(tmp_path: Path) -> None:
    """Two folders may each have a module of the same name."""
    found = []
    for place in (tmp_path / "one", tmp_path / "two"):
        place.mkdir()
        (place / "beside_same.py").write_text(f"class {place.name.title()}: pass")
        found.append(registry.find("relay", f"beside_same:{place.name.title()}", place).name)
    assert found == ["beside_same:One", "beside_same:Two"]


def test_a_plugin_beside_the_configuration(tmp_path: Path) -> None:
    """The name after the colon may be a Plugin."""
    (tmp_path / "beside_whole.py").write_text(POLICY.format(name="whatever"))
    found = registry.find("relay", "beside_whole:plugin", tmp_path)
    assert found.settings.__name__ == "NoSettings"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("beside_nothing:Policy", "there is no module 'beside_nothing'"),
        ("beside_there:Missing", "has no class 'Missing'"),
        ("beside_there:number", "has no class 'number'"),
        ("../x:Policy", 'is not "module:Class"'),
        ("beside_there:", 'is not "module:Class"'),
    ],
)
def test_nothing_beside_the_configuration(tmp_path: Path, name: str, reason: str) -> None:
    """What is missing is named."""
    (tmp_path / "beside_there.py").write_text("number = 7")
    with pytest.raises(UnknownPlugin) as raised:
        registry.find("relay", name, tmp_path)
    assert reason in str(raised.value)


def test_a_name_that_is_taken(tmp_path: Path) -> None:
    """A file beside the configuration cannot stand in for somebody else's module."""
    (tmp_path / "json.py").write_text("class Policy: pass")
    with pytest.raises(PluginError, match="the name 'json' is taken by"):
        registry.find("relay", "json:Policy", tmp_path)


@dataclass(frozen=True)
class Built:
    """What a plugin builds is looked at."""

    it: Any

    def __call__(self, settings: Any, site: Any) -> Any:
        return self.it


def test_what_is_built_must_do_what_its_stage_asks() -> None:
    """A method that is missing, or that takes too little, is found at start."""

    @implementer(IRelayPolicy)
    class Short:
        def judge(self, envelope: Any) -> None: ...

    @implementer(IRelayPolicy)
    class Empty:
        pass

    class Undeclared:
        def judge(self, envelope: Any, recipient: Any) -> None: ...

    @implementer(IObserver)
    class Unwanting:
        def observe(self, event: Any) -> None: ...

    for stage, it, reason in [
        ("relay", Short(), "doesn't allow enough arguments"),
        ("relay", Empty(), "judge"),
        ("relay", Undeclared(), "IRelayPolicy"),
        ("relay", None, "IRelayPolicy"),
        ("observe", Unwanting(), "wants"),
    ]:
        plugin = Plugin("x", registry.STAGES[stage], NoSettings, Built(it))
        with pytest.raises(PluginError, match=reason):
            registry.build(plugin, stage, NoSettings(), site())
    beside = Plugin("my:Undeclared", IRelayPolicy, dict, Built(Undeclared()))
    assert registry.build(beside, "relay", {}, site())


def test_a_checker_must_take_passwords() -> None:
    """One for other credentials would never be asked anything that it knows."""
    auth = registry.STAGES["auth"]
    users = FilePasswordDB("users")
    assert (
        registry.build(Plugin("x", auth, NoSettings, Built(users)), "auth", None, site()) is users
    )
    with pytest.raises(PluginError, match="IUsernamePassword"):
        registry.build(
            Plugin("x", auth, NoSettings, Built(AllowAnonymousAccess())), "auth", None, site()
        )


@implementer(ITokenChecker)
class Tokens:
    """Knows tokens and no passwords."""

    def check_token(self, wanted: Any) -> None:
        return None


def test_a_checker_of_tokens_needs_no_passwords() -> None:
    """Any interface of the stage will do; what is declared must be kept."""
    tokens = Tokens()
    plugin = Plugin("x", ITokenChecker, NoSettings, Built(tokens))
    assert registry.build(plugin, "auth", NoSettings(), site()) is tokens
    undeclared = Plugin("own:Keys", registry.STAGES["auth"], NoSettings, Built(Keys()))
    with pytest.raises(PluginError, match="keeps_keys"):
        registry.build(undeclared, "auth", NoSettings(), site())
    with pytest.raises(PluginError, match="IStoredKeys"):
        empty = Plugin("x", IStoredKeys, NoSettings, Built(object()))
        registry.build(empty, "auth", NoSettings(), site())


class Keys:
    """Beside the configuration; half of an interface."""

    def stored_keys(self, wanted: Any) -> None:
        return None


def test_a_service_of_twisted_serves() -> None:
    """[[serve]] builds any IService."""
    service = Service()
    plugin = Plugin("x", IService, NoSettings, Built(service))
    assert registry.build(plugin, "serve", NoSettings(), site()) is service


def test_every_stock_plugin_can_be_found() -> None:
    """Each file's name, its stage and its Plugin agree."""
    for stage in registry.STAGES:
        for name in registry.known(stage):
            assert registry.find(stage, name).name == name
