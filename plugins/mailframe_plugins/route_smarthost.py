"""[[route]] plugin = "smarthost", host = "smtp.provider.example", port = 587, tls = "verify"

Mail goes to one host, which sends it on. With `user` and `password` we log in there. With
`domains`, only mail for these goes there.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Literal

from zope.interface import implementer

from mailframe.interfaces import IRouter
from mailframe.message import Envelope, NextHop, Recipient, Route, TlsUse
from mailframe.names.domain_set import domains_setting, one_spelling
from mailframe.plugin import Plugin, Secret, SettingError, Site, setting

_GUARDED = ("require", "verify", "implicit")


@dataclass(frozen=True)
class Settings:
    """The settings."""

    host: str = setting(
        'the name or IP address of the host, or the domain to look up for lookup = "mx"'
    )
    port: int | None = setting("the port to dial; by default the delivery agent's", None)
    lookup: Literal["host", "mx"] = setting(
        "host: dial the host itself; mx: dial the exchanges in its MX records", "host"
    )
    tls: TlsUse | None = setting(
        "never; opportunistic: TLS if offered; require: TLS with any certificate; verify: TLS "
        "with a certificate that names the host; implicit: as verify, from the first octet. By "
        "default verify if a password is given, else opportunistic",
        None,
    )
    user: str | None = setting("the name to log in with", None)
    password: Secret | None = setting("the password to log in with", None)
    auth_in_clear: bool = setting("log in without TLS too; for tests and trusted networks", False)
    domains: tuple[str, ...] = setting(
        'only these domains; ".example.org" stands for all its subdomains; by default every domain',
        (),
    )
    private: bool = setting("dial the host even if its address is loopback or private", True)
    deliver: str = setting("the [deliver.NAME] that sends the mail", "smtp")


@implementer(IRouter)
class Smarthost:
    """Routes everything to one next hop."""

    def __init__(self, settings: Settings, site: Site) -> None:
        self._domains = domains_setting("domains", settings.domains)
        if settings.port is not None and not 0 < settings.port < 65536:
            raise SettingError("port", f"{settings.port} is not a port")
        if (settings.user is None) != (settings.password is None):
            missing = "user" if settings.user is None else "password"
            raise SettingError(missing, "user and password go together")
        next_hop = NextHop(
            _host(settings),
            settings.lookup,
            settings.port,
            _tls(settings),
            settings.user,
            settings.password,
            settings.private,
            configured=True,
        )
        self._route = Route(settings.deliver, next_hop=next_hop)

    def route(self, envelope: Envelope, recipient: Recipient) -> Route | None:
        """The one route; none for the bare Postmaster, who belongs to this host."""
        domain = recipient.address.domain
        if not domain or (self._domains and domain not in self._domains):
            return None
        return self._route


def _tls(settings: Settings) -> TlsUse:
    if settings.tls is None:
        return (
            "verify"
            if settings.user is not None and not settings.auth_in_clear
            else ("opportunistic")
        )
    if settings.user is not None and settings.tls not in _GUARDED and not settings.auth_in_clear:
        raise SettingError(
            "tls", f"{settings.tls!r} may show the password; one of {', '.join(_GUARDED)} is wanted"
        )
    return settings.tls


def _host(settings: Settings) -> str:
    """The host in one spelling; an IP address becomes an address literal."""
    text = settings.host.removeprefix("[").removesuffix("]")
    text = text[5:] if text[:5].lower() == "ipv6:" else text
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        try:
            return one_spelling(settings.host)
        except ValueError as wrong:
            raise SettingError("host", f"{settings.host!r}: {wrong}") from wrong
    if settings.lookup == "mx":
        raise SettingError("lookup", f"{settings.host} is an address and has no exchanges")
    return f"[IPv6:{address}]" if address.version == 6 else f"[{address}]"


plugin = Plugin("smarthost", IRouter, Settings, Smarthost)
