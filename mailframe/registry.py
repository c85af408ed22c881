"""FLOOR 8: finds plugins, builds them, and verifies that they provide what they declare.

A name is looked up in every folder `mailframe_plugins` on Python's path. "mx" in `[[route]]` is
`route_mx.py`; "acme_mx" is `route_acme_mx.py` or `acme_route_mx.py`. Only the module that is named
is imported.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import pkgutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from twisted.application.service import IService
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from zope.interface.exceptions import Invalid
from zope.interface.interface import InterfaceClass
from zope.interface.verify import verifyObject

from .interfaces import (
    ICertificateChecker,
    IDeliveryAgent,
    IDeparture,
    IFilter,
    IObserver,
    IQueueStore,
    IRelayPolicy,
    IRouter,
    IServedProtocol,
    IStoredKeys,
    ITlsPolicy,
    ITokenChecker,
)
from .plugin import Filter, Plugin, Site

MEETING_PLACE = "mailframe_plugins"

#: The interface of the plugins of each stage.
STAGES = MappingProxyType(
    {
        "auth": ICredentialsChecker,
        "relay": IRelayPolicy,
        "filter": IFilter,
        "route": IRouter,
        "queue": IQueueStore,
        "departure": IDeparture,
        "tls_policy": ITlsPolicy,
        "deliver": IDeliveryAgent,
        "observe": IObserver,
        "serve": IService,
    }
)
#: Other interfaces that a plugin of a stage may provide instead of that one, or besides it.
ALTERNATIVES: Mapping[str, tuple[Any, ...]] = MappingProxyType(
    {
        "auth": (IStoredKeys, ITokenChecker, ICertificateChecker),
        "serve": (IServedProtocol,),
    }
)
#: The keys that the host itself takes from a section of each stage, besides `plugin`.
COMMON_KEYS = MappingProxyType(
    {
        "auth": ("on", "timeout"),
        "relay": ("on", "timeout"),
        "filter": ("on", "timeout", "on_error"),
        "route": ("on", "timeout"),
        "queue": (),
        "departure": ("on", "timeout", "on_error"),
        "tls_policy": ("timeout",),
        "deliver": ("timeout",),
        "observe": (),
        "serve": (),
    }
)


#: Names that other mail servers give to the methods of a filter.
_MEANT = MappingProxyType(
    {
        "connect": "connected",
        "connection": "connected",
        "helo": "hello",
        "ehlo": "hello",
        "mail": "sender",
        "mail_from": "sender",
        "rcpt": "recipient",
        "rcpt_to": "recipient",
        "data": "content",
        "body": "content",
        "message": "content",
    }
)


class PluginError(Exception):
    """A plugin cannot be used. The message tells the operator which file it is and why."""


class UnknownPlugin(PluginError):
    """There is no plugin of that name."""


def known(stage: str) -> tuple[str, ...]:
    """The names of all plugins of a stage, sorted. Nothing is imported to find them."""
    return tuple(sorted({name for name, _, _ in _modules(stage)}))


def find(stage: str, name: str, folder: Path | None = None) -> Plugin:
    """The plugin of that name, or of "module:Class" beside the configuration in `folder`.

    Raises UnknownPlugin, or PluginError for two plugins of one name or a broken module.
    """
    plugin = _beside(stage, name, folder) if ":" in name else _met(stage, name)
    wanted = (STAGES[stage], *ALTERNATIVES.get(stage, ()))
    if not any(plugin.interface.isOrExtends(each) for each in wanted):
        raise PluginError(
            f"plugin {name!r} provides {plugin.interface.__name__}, "
            f"a {stage} plugin provides {' or '.join(each.__name__ for each in wanted)}"
        )
    if is_dataclass(plugin.settings):
        taken = {"plugin", *COMMON_KEYS[stage]} & {each.name for each in fields(plugin.settings)}
        if taken:
            raise PluginError(
                f"plugin {name!r} has a setting {min(taken)!r}, which is a key of the host's own"
            )
    return plugin


def build(plugin: Plugin, stage: str, settings: Any, site: Site) -> Any:
    """Build the plugin's object and verify it. Raises SettingError, PluginError and what `build`
    raises.
    """
    built = plugin.build(settings, site)
    for interface in _provided(plugin, stage, built):
        try:
            # A class beside the configuration need not declare an interface if it has the methods.
            verifyObject(interface, built, tentative=":" in plugin.name)
        except Invalid as wrong:
            raise PluginError(f"plugin {plugin.name!r}: {wrong}") from wrong
        if isinstance(built, Filter) and (wrong_names := _misnamed(built)):
            raise PluginError(f"plugin {plugin.name!r}: {wrong_names}")
        if interface is ICredentialsChecker and not any(
            IUsernamePassword.isOrExtends(each) for each in built.credentialInterfaces
        ):
            raise PluginError(
                f"plugin {plugin.name!r} does not check IUsernamePassword credentials"
            )
    return built


def _misnamed(built: Filter) -> str:
    """What is wrong if a filter's methods have names of other servers; "" if nothing is."""
    wrong = [name for name in vars(type(built)) if name in _MEANT]
    words = (f"{name!r} is never asked; did you mean {_MEANT[name]!r}?" for name in wrong)
    return " ".join(words)


def _provided(plugin: Plugin, stage: str, built: Any) -> list[InterfaceClass]:
    """The interfaces that the object must provide: those that it declares, or the stage's own."""
    wanted = (STAGES[stage], *ALTERNATIVES.get(stage, ()))
    if ":" not in plugin.name:
        found = [each for each in wanted if each.providedBy(built)]
        return found or [plugin.interface]
    found = [each for each in wanted if any(hasattr(built, name) for name in each.names())]
    return found or [STAGES[stage]]


def _modules(stage: str) -> Iterator[tuple[str, str, str]]:
    """(plugin's name, module's name, folder) of all modules that are named for the stage."""
    meeting_place = importlib.import_module(MEETING_PLACE)
    for folder in _editable_folders():
        if folder not in meeting_place.__path__:
            meeting_place.__path__.append(folder)
    folders = dict.fromkeys(os.path.realpath(folder) for folder in meeting_place.__path__)
    for folder in folders:
        for module in pkgutil.iter_modules([folder]):
            name = _name_of(stage, module.name)
            if name:
                yield name, module.name, folder


@cache
def _editable_folders() -> tuple[str, ...]:
    """Folders of plugins in distributions that were installed by `pip install -e`.

    Some build tools make such a distribution importable by a hook that knows single names, so its
    folder is not on Python's path. Its direct_url.json says where its files are (PEP 610).
    """
    folders = []
    for distribution in importlib.metadata.distributions():
        origin = json.loads(distribution.read_text("direct_url.json") or "{}")
        url = urlsplit(origin.get("url", ""))
        if url.scheme == "file" and origin.get("dir_info", {}).get("editable"):
            root = Path(url2pathname(url.path))
            places = (root / each / MEETING_PLACE for each in (".", "src", "plugins"))
            # A folder with an __init__.py is a package: the stock plugins of a checkout.
            folders += [
                str(place.resolve())
                for place in places
                if place.is_dir() and not (place / "__init__.py").exists()
            ]
    return tuple(folders)


def _name_of(stage: str, module: str) -> str:
    """The plugin's name, taken from the module's name; "" for a module of another stage."""
    if module.startswith(f"{stage}_"):
        return module.removeprefix(f"{stage}_")
    owner, separator, rest = module.partition(f"_{stage}_")
    others = any(f"{owner}_".startswith(f"{each}_") for each in STAGES)
    return f"{owner}_{rest}" if separator and rest and not others else ""


def _met(stage: str, name: str) -> Plugin:
    importlib.invalidate_caches()
    found = [(module, folder) for known, module, folder in _modules(stage) if known == name]
    if not found:
        raise UnknownPlugin(f"there is no {stage} plugin {name!r}")
    if len(found) > 1:
        places = " and ".join(str(Path(folder, module)) for module, folder in found)
        raise PluginError(f"two {stage} plugins are named {name!r}: {places}")
    ((module, folder),) = found
    plugin = getattr(_imported(f"{MEETING_PLACE}.{module}", Path(folder, module)), "plugin", None)
    place = Path(folder, module)
    if not isinstance(plugin, Plugin):
        raise PluginError(f"{place}: the module has no `plugin = Plugin(...)`")
    if plugin.name != name:
        raise PluginError(f"{place}: it calls itself {plugin.name!r}, its file is for {name!r}")
    return plugin


def _beside(stage: str, name: str, folder: Path | None) -> Plugin:
    module_name, _, class_name = name.partition(":")
    if not all(part.isidentifier() for part in [*module_name.split("."), class_name]):
        raise UnknownPlugin(f'{name!r} is not "module:Class"')
    path = (folder or Path.cwd()).absolute()
    own = path / f"{module_name.replace('.', '/')}.py"
    _forget_other(module_name, own)
    with _importable_from(path):
        module = _imported(module_name, own.with_suffix(""))
    if own.exists() and not _is_from(module, own):
        raise PluginError(f"{own}: the name {module_name!r} is taken by {module.__file__}")
    found = getattr(module, class_name, None)
    if isinstance(found, Plugin):
        return Plugin(name, found.interface, found.settings, found.build)
    if not callable(found):
        raise UnknownPlugin(f"{module.__file__} has no class {class_name!r}")
    settings = getattr(found, "Settings", None)
    return Plugin(name, STAGES[stage], settings if is_dataclass(settings) else dict, found)  # type: ignore[arg-type]


def _forget_other(name: str, own: Path) -> None:
    """Forget a module of that name that was imported from beside another configuration."""
    loaded = sys.modules.get(name)
    if loaded is not None and loaded.__file__ and own.exists() and not _is_from(loaded, own):
        place = Path(loaded.__file__).parent
        if not any(place == Path(folder or ".").absolute() for folder in sys.path):
            del sys.modules[name]


def _is_from(module: ModuleType, file: Path) -> bool:
    return bool(module.__file__) and file.samefile(str(module.__file__))


def _imported(name: str, place: Path) -> ModuleType:
    try:
        return importlib.import_module(name)
    # A plugin's module may raise any exception while it is imported.
    except Exception as wrong:
        if isinstance(wrong, ModuleNotFoundError) and wrong.name == name:
            raise UnknownPlugin(f"there is no module {name!r} ({place}.py)") from wrong
        said = f"{type(wrong).__name__}: {wrong}"
        raise PluginError(f"{place}.py cannot be imported: {said}") from wrong


@contextmanager
def _importable_from(folder: Path) -> Iterator[None]:
    """Put the folder last on Python's path, so that no file there can replace another module."""
    importlib.invalidate_caches()
    sys.path.append(str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
