"""Finds everything that is wrong with a configuration on this machine, each with its line."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from twisted.internet.defer import maybeDeferred

from ..config import Composition, ConfigError, ConfigErrors, load
from ..config.ports import Bound, bound_by
from ..config.toml_index import index
from ..host.descriptors import too_few
from ..host.listening import StartError, certificates_of, client_ca_of
from ..host.privileges import NoSuchAccount, account
from ..host.resources import Resources
from ..host.rights import hindrances_of, warnings_of
from ..settings import HostSettings
from .dead_routes import dead_routes
from .postmaster import Unread, ask
from .repeated_paths import repeated_paths
from .shadowed import shadowed


@dataclass(frozen=True)
class Checked:
    """A configuration that has been checked. `composition` is None if it has errors.

    `warnings` are not errors: the configuration can be run.
    """

    composition: Composition | None
    errors: tuple[ConfigError, ...] = ()
    warnings: tuple[ConfigError, ...] = ()


def check(path: Path, reactor: Any) -> Checked:
    """Read it and build everything in it; no port is bound and no queue is opened."""
    errors: list[ConfigError] = []
    sound: Composition | None
    try:
        composition = sound = load(path)
    except ConfigErrors as wrong:
        # The part that can be built without those may have errors too.
        composition, sound = None, wrong.sound
        errors += wrong.errors
    warnings: list[ConfigError] = []
    if sound is not None:
        errors += _of_plugins(sound, reactor, warnings)
        errors += _of_machine(sound.settings, path)
        warnings += _traps(sound)
    ordered = tuple(sorted(errors, key=lambda error: error.line))
    traps = tuple(sorted(warnings, key=lambda warning: warning.line))
    return Checked(None if errors else composition, ordered, traps)


def _of_plugins(
    composition: Composition, reactor: Any, warnings: list[ConfigError]
) -> tuple[ConfigError, ...]:
    """The errors that plugins find in their settings when they are built."""
    try:
        # The reactor does not run here, so work for a thread is done while its caller waits.
        resources = Resources(composition, reactor, time.time, in_thread=maybeDeferred)
    except ConfigErrors as wrong:
        return wrong.errors
    warnings += [*resources.warnings, *repeated_paths(composition)]
    relays = [section for section in composition.sections if section.stage == "relay"]

    def found(unread: Unread) -> None:
        warnings.append(relays[unread.relay].error("domains", f"warning: {unread}"))

    warnings += _of_rights(composition, resources)
    warnings += dead_routes(composition, resources.hooks)
    for waiting in ask(resources.hooks, composition.settings.listen, found):
        waiting.cancel()  # the answer would need the network
    routes = [section for section in composition.sections if section.stage == "route"]
    for lost in shadowed(resources.hooks, composition.settings.listen):
        warnings.append(routes[lost.route].error("domains", f"warning: {lost}"))
    return ()


def _of_rights(composition: Composition, resources: Resources) -> list[ConfigError]:
    """What the host could not read or write once it is its `user`. Root can read everything."""
    settings = composition.settings
    try:
        whom = account(settings.user, settings.group)
    except NoSuchAccount:
        return []  # an error of its own
    if whom is None:
        return []
    found = hindrances_of(whom, resources.needed)
    return warnings_of(composition, resources.needed, found)


def _traps(composition: Composition) -> Iterator[ConfigError]:
    """Settings that are valid but dangerous on this machine."""
    settings = composition.settings
    if settings.tls is not None:
        try:
            certificates = certificates_of(replace(settings, listen=()))
            for trap in certificates.traps(time.time()) if certificates is not None else ():
                yield composition.error("tls.certificates", f"warning: {trap}")
        except (StartError, OSError, ValueError):
            pass  # an error of its own
    low = next((each for each in map(bound_by, settings.listen) if _is_low(each)), None)
    if low is not None and settings.user is None and os.geteuid() == 0:
        message = f"warning: missing: root, who may bind port {low[0]}, stays root without it"
        yield composition.error("user", message)
    few = too_few(settings)
    if few:
        yield composition.error("limits.connections", f"warning: {few}")


def _is_low(bound: Bound | None) -> bool:
    """True if only root may bind this port."""
    return bound is not None and isinstance(bound[0], int) and 0 < bound[0] < 1024


def _of_machine(settings: HostSettings, path: Path) -> Iterator[ConfigError]:
    """What this machine lacks: readable certificates, the user and group."""
    lines = index(path.read_text("utf-8"))
    for number, listener in enumerate(settings.listen):
        try:
            client_ca_of(listener)
        except StartError as wrong:
            line = lines.get(("listen", number, "client_ca"), 0)
            yield ConfigError(path, line, "listen.client_ca", str(wrong))
    try:
        certificates_of(replace(settings, listen=()))
    except StartError as wrong:
        yield ConfigError(path, lines.get(("tls", "certificates"), 0), "", str(wrong))
    try:
        account(settings.user, settings.group)
    except NoSuchAccount as wrong:
        key = wrong.key
        yield ConfigError(path, lines.get((key,), 0), key, str(wrong))
