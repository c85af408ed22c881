"""Builds Hooks from a Composition: builds every plugin, and tells all of their errors together."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from .. import registry
from ..hooks import Bound, Hooks
from ..plugin import Plugin, Site
from ..registry import PluginError, UnknownPlugin
from ..setting import SettingError
from ..settings import HostSettings
from . import checks
from .composition import Composition, ConfigError, ConfigErrors, Section
from .convert import Mistakes, convert
from .suggest import did_you_mean

_TIMEOUT = 30.0  # seconds that a plugin may take for one answer
# The store is built first: if there is nowhere to keep mail, no other plugin need be asked.
_ORDER = (
    "queue", "observe", "auth", "relay", "filter", "route", "departure", "tls_policy", "deliver",
    "serve",
)  # fmt: skip


def compose(
    composition: Composition,
    site_for: Callable[[Section], Site],
    found: Iterable[ConfigError] = (),
) -> Hooks:
    """Build all plugins, in the order of the configuration. Raises ConfigErrors.

    `site_for` is asked once for each section, and once for the host itself (stage "host"). `found`
    are mistakes that are known already; they are raised together with those of the plugins.
    """
    errors = list(found)
    built: dict[str, list[Bound]] = {stage: [] for stage in _ORDER}
    host = site_for(Section("host", ""))
    if composition.file is None:
        errors += _misdirected(composition)
    errors += _misplaced(composition)
    for stage in _ORDER:
        for section in composition.sections:
            if section.stage == stage:
                try:
                    plugin = _built(section, composition.folder, site_for(section))
                except ConfigErrors as wrong:
                    errors += wrong.errors
                else:
                    built[stage].append(_bound(section, plugin, composition))
    if errors:
        raise ConfigErrors(tuple(sorted(errors, key=lambda each: each.line)))
    return _hooks(built, host, composition.settings)


def _hooks(built: dict[str, list[Bound]], host: Site, settings: HostSettings) -> Hooks:
    return Hooks(
        reactor=host.reactor,
        auth=tuple(built["auth"]),
        relay=tuple(built["relay"]),
        filters=tuple(built["filter"]),
        routes=tuple(built["route"]),
        departures=tuple(built["departure"]),
        tls_policies=tuple(built["tls_policy"]),
        store=built["queue"][0].plugin if built["queue"] else None,
        agents={bound.name: bound for bound in built["deliver"]},
        observers=tuple(built["observe"]),
        services=tuple(built["serve"]),
        now=host.now,
        in_thread=host.in_thread,
        guessing=settings.logins,
        expansion=settings.retry.expansion,
    )


def settings_of(section: Section, folder: Path) -> tuple[Plugin, Any]:
    """The section's plugin, and its settings in the form that the plugin takes. Raises
    ConfigErrors.
    """
    try:
        plugin = registry.find(section.stage, section.plugin, folder)
    except UnknownPlugin as wrong:
        near = did_you_mean(section.plugin, registry.known(section.stage))
        raise ConfigErrors((section.error("plugin", f"{wrong}{near}"),)) from wrong
    except PluginError as wrong:
        raise ConfigErrors((section.error("plugin", str(wrong)),)) from wrong
    if plugin.settings is dict:
        return plugin, dict(section.settings)
    try:
        return plugin, convert(section.settings, plugin.settings, folder)
    except Mistakes as wrong:
        raise ConfigErrors(
            tuple(
                section.error(".".join(map(str, each.path)), each.message)
                for each in wrong.mistakes
            )
        ) from wrong


def _built(section: Section, folder: Path, site: Site) -> Any:
    plugin, settings = settings_of(section, folder)
    try:
        return registry.build(plugin, section.stage, settings, site)
    except SettingError as wrong:
        error = section.error(wrong.key, wrong.message)
    except PluginError as wrong:
        error = section.error("plugin", str(wrong))
    except OSError as wrong:
        error = section.error("", f"cannot be built: {wrong}")
    # A plugin's build may raise any exception.
    except Exception as wrong:  # noqa: BLE001
        error = section.error("", f"cannot be built: {type(wrong).__name__}: {wrong}")
    raise ConfigErrors((error,))


def _bound(section: Section, plugin: Any, composition: Composition) -> Bound:
    patience = (
        composition.settings.retry.attempt_timeout if section.stage == "deliver" else _TIMEOUT
    )
    name = section.agent if section.stage == "deliver" else section.plugin
    return Bound(
        section.stage,
        name,
        plugin,
        section.timeout or patience,
        section.on_error,
        section.on,
        "" if name == section.plugin else section.plugin,
    )


def _misplaced(composition: Composition) -> list[ConfigError]:
    """Sections of unknown stages, and second ones of what there may be only one of.

    That is `[queue]`, and each name of `[deliver.NAME]`.
    """
    errors = []
    names = set()
    for section in composition.sections:
        if section.stage not in registry.STAGES:
            near = did_you_mean(section.stage, registry.STAGES)
            errors.append(section.error("", f"there is no stage {section.stage!r}{near}"))
        elif section.stage in ("queue", "deliver") and section.name in names:
            errors.append(section.error("", f"there is another [{section.name}]"))
        names.add(section.name)
    return errors


def _misdirected(composition: Composition) -> list[ConfigError]:
    """References to listeners and agents that do not exist, as reading a file would find them."""
    agents = [each.agent for each in composition.sections if each.stage == "deliver"]
    return [
        section.error(str(place[0]), message)
        for section in composition.sections
        for place, message in (
            *checks.agent_of(section, section.settings, agents),
            *checks.listeners_of(section, composition.settings),
        )
    ]
