"""What a host lends its plugins besides time, threads and DNS."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock

from mailframe.config import load
from mailframe.eventual import at_once
from mailframe.host.control import Refused, control_of
from mailframe.host.resources import Resources
from mailframe.smtp.reply import Reply
from mailframe.testing.hooks import result_of
from mailframe.testing.values import client

TOML = """\
hostname = "mx.example.org"
state = "state"
[queue]
plugin = "memory"
[[auth]]
plugin = "lending:Passwords"
[[observe]]
plugin = "lending:Seen"
[[serve]]
plugin = "lending:Borrows"
"""
LENDING = """\
from twisted.application.service import Service
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin


class Passwords:
    credentialInterfaces = (IUsernamePassword,)

    def __init__(self, settings, site):
        pass

    def requestAvatarId(self, credentials):
        if credentials.password == b"secret":
            return credentials.username
        raise UnauthorizedLogin


class Seen:
    wants = frozenset({"serve"})

    def __init__(self, settings, site):
        self.events = []

    def observe(self, event):
        self.events.append(event)


class Borrows(Service):
    def __init__(self, settings, site):
        self.site = site
"""


@pytest.fixture
def resources(tmp_path: Path) -> Resources:
    """What a host has composed that does not run yet."""
    (tmp_path / "lending.py").write_text(LENDING)
    (tmp_path / "mailframe.toml").write_text(TOML)
    return Resources(load(tmp_path / "mailframe.toml"), Clock(), time.time)


def site_of(resources: Resources) -> Any:
    return resources.hooks.services[0].plugin.site


def test_whose_a_password_is(resources: Resources) -> None:
    """The user's name; or why not, after a second whoever was asked for."""
    site = site_of(resources)
    assert result_of(site.authenticate(client(), "bob", "secret")) == "bob"
    answers: list[Reply] = []
    at_once(site.authenticate(client(), "bob", "wrong")).addCallback(answers.append)
    assert answers == []
    resources.reactor.advance(1)
    assert answers[0].code == 535


def test_questions_to_the_host(resources: Resources) -> None:
    """The rows of its answer; before there is a host that nobody answers."""
    site = site_of(resources)
    with pytest.raises(LookupError):
        result_of(site.ask("ping"))
    resources.control = control_of(resources, lambda: None)
    [row] = result_of(site.ask("ping"))
    assert row["hostname"] == "mx.example.org"
    assert result_of(site.ask("find", address="@example.org", limit=10)) == []
    with pytest.raises(Refused):
        result_of(site.ask("no such question"))


def test_events_are_told_at_the_plugin_s_stage(resources: Resources) -> None:
    """With its section's name."""
    site_of(resources).tell("opened", page="queue")
    [event] = resources.hooks.observers[0].plugin.events
    assert (event.stage, event.verdict, event.plugin) == ("serve", "opened", "serve")
    assert event.facts == {"page": "queue"}


def test_certificates_once_the_host_has_read_them(resources: Resources) -> None:
    """None without; the host's own with."""
    assert site_of(resources).certificates() is None
    resources.certificates = certificates = object()  # type: ignore[assignment]
    assert site_of(resources).certificates() is certificates
