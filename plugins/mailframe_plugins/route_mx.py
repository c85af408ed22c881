"""[[route]] plugin = "mx", deliver = "smtp"

Mail goes to the exchanges that DNS names for its domain (RFC 5321 section 5.1), or to the address
in an address literal. A table sets `tls` for single domains; ".example.org" stands for all its
subdomains:

    tls_domains = { "example.org" = "verify", ".bank.example" = "require" }
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from zope.interface import implementer

from mailframe.interfaces import IRouter
from mailframe.message import Envelope, NextHop, Recipient, Route, TlsUse
from mailframe.names.domain_set import domains_setting, member_spelling, one_spelling
from mailframe.plugin import Plugin, SettingError, Site, setting
from mailframe.smtp.reply import NO_SUCH_DOMAIN, Reply


@dataclass(frozen=True)
class Settings:
    """The settings."""

    deliver: str = setting("the [deliver.NAME] that sends the mail", "smtp")
    domains: tuple[str, ...] = setting(
        'only these domains; ".example.org" stands for all its subdomains; by default every domain',
        (),
    )
    except_domains: tuple[str, ...] = setting("route all domains but these", ())
    port: int | None = setting("the port to dial; by default the delivery agent's", None)
    tls: TlsUse = setting(
        "never; opportunistic: TLS if offered; require: TLS with any certificate; verify: TLS "
        "with a certificate that names the host; implicit: as verify, from the first octet",
        "opportunistic",
    )
    tls_domains: Mapping[str, TlsUse] = setting(
        "the value of `tls` for single domains", factory=dict
    )
    private: bool = setting(
        "dial loopback and private addresses too, if DNS says so; anybody can publish such DNS "
        "records",
        False,
    )


@implementer(IRouter)
class Mx:
    """Routes by the recipient's domain."""

    def __init__(self, settings: Settings, site: Site) -> None:
        self._settings = settings
        self._only = domains_setting("domains", settings.domains)
        self._but = domains_setting("except_domains", settings.except_domains)
        self._tls_of = domains_setting("tls_domains", settings.tls_domains)
        self._tls = {member_spelling(name): tls for name, tls in settings.tls_domains.items()}
        if settings.port is not None and not 0 < settings.port < 65536:
            raise SettingError("port", f"{settings.port} is not a port")

    def route(self, envelope: Envelope, recipient: Recipient) -> Route | Reply | None:
        """A route for every domain in the settings; none for the bare Postmaster."""
        domain = recipient.address.domain
        if not domain or domain in self._but or (self._only and domain not in self._only):
            return None
        if not recipient.address.is_literal:
            try:
                domain = one_spelling(domain)
            except ValueError:
                return NO_SUCH_DOMAIN
        return Route(
            self._settings.deliver,
            next_hop=NextHop(
                domain,
                "host" if recipient.address.is_literal else "mx",
                self._settings.port,
                self._tls.get(self._tls_of.which(domain) or "", self._settings.tls),
                private=self._settings.private,
                configured=False,
            ),
        )


plugin = Plugin("mx", IRouter, Settings, Mx)
