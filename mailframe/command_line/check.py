"""`mailframe check`: tells every mistake of a configuration, or what the configuration means."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from .commands import Chosen, configuration_wrong
from .text import safe, say

if TYPE_CHECKING:
    from ..config import Composition, Section
    from ..settings import HostSettings, Listener


@click.command("check")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_obj
def command(chosen: Chosen, as_json: bool) -> None:
    """Tell every mistake of the configuration, or what it means.

    Everything in it is built, but no port is bound and no queue is opened. The exit status is 1 if
    there is a mistake; each names its file, line and key. Warnings, such as for a postmaster whose
    mail nobody reads, do not change that.
    """
    from .problems import check

    checked = check(chosen.path(), chosen.reactor())
    if checked.composition is None:
        raise configuration_wrong(chosen.path(), checked.errors)
    for warning in checked.warnings:
        click.echo(safe(warning), err=True)
    if as_json:
        warnings = [str(warning) for warning in checked.warnings]
        click.echo(json.dumps({**_described(checked.composition), "warnings": warnings}))
    else:
        _print(chosen, checked.composition)


def _print(chosen: Chosen, composition: Composition) -> None:
    settings = composition.settings
    say(f"{chosen.path()}: correct")
    say(f"hostname {settings.hostname}, state {settings.state}")
    if settings.mailboxes is not None:
        say(f"mailboxes {settings.mailboxes.path}")
    for listener in settings.listen:
        say(f"listen   {listener.name:<14} {listener.endpoint:<24} {_manner(listener, settings)}")
    for section in composition.sections:
        listeners = f"  (only on {', '.join(sorted(section.on))})" if section.on else ""
        say(f"{section.stage:<8} {_called(section)}{listeners}")


def _manner(listener: Listener, settings: HostSettings) -> str:
    """The protocol and the demands of a listener: "SMTP, STARTTLS, requires tls and auth"."""
    tls = {"starttls": "STARTTLS", "implicit": "TLS from the start", "none": "in clear"}
    words = [listener.protocol.upper(), tls[listener.tls] if settings.tls else "in clear"]
    if listener.requires:
        words.append(f"requires {' and '.join(listener.requires)}")
    return ", ".join(words)


def _called(section: Section) -> str:
    """The plugin, after the section's own name if that differs ("archive: maildir")."""
    name = section.name.rpartition(".")[2]
    same = name in {section.stage, section.plugin}
    return section.plugin if same else f"{name}: {section.plugin}"


def _described(composition: Composition) -> dict[str, Any]:
    settings = composition.settings
    return {
        "hostname": settings.hostname,
        "state": str(settings.state),
        "mailboxes": str(settings.mailboxes.path) if settings.mailboxes else None,
        "listen": [
            {"name": listener.name, "endpoint": listener.endpoint, "tls": listener.tls}
            for listener in settings.listen
        ],
        "plugins": [
            {"stage": section.stage, "name": section.name, "plugin": section.plugin}
            for section in composition.sections
        ],
    }
