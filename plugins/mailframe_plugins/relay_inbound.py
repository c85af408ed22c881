"""[[relay]] plugin = "inbound", domains = ["example.org"]

Anybody may send to the domains of this host. `domains` lists them; ".example.org" stands for all
its subdomains. `file` lists more, one in a line, and is read again when it changes. Only the part
after the last @ decides: `user%elsewhere@example.org` does not lead elsewhere, and is refused
besides.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zope.interface import implementer

from mailframe.files.domain_list import parse_domains
from mailframe.files.watched_list import watch_list
from mailframe.interfaces import ILocalDomains, IRelayPolicy
from mailframe.message import Envelope, Recipient
from mailframe.names.domain_set import domains_setting
from mailframe.plugin import Plugin, SettingError, Site, setting
from mailframe.smtp.reply import RECIPIENT_OK, Reply

ROUTING_REFUSED = Reply(550, "Relaying denied: no routing in the local part", "5.7.1")


@dataclass(frozen=True)
class Settings:
    """The settings."""

    domains: tuple[str, ...] = setting(
        'your own domains; ".example.org" stands for all its subdomains', ()
    )
    file: Path | None = setting("a file with further domains, one in a line", None)
    refuse_routing_characters: bool = setting(
        "refuse local parts with %, ! or @, by which older hosts would send the mail on elsewhere",
        True,
    )


@implementer(ILocalDomains)
class Inbound:
    """Permits recipients in the domains of this host."""

    def __init__(self, settings: Settings, site: Site) -> None:
        self._domains = domains_setting("domains", settings.domains)
        self._file = None
        if settings.file is not None:
            path = site.folder / settings.file
            site.will_read("file", path)
            self._file = watch_list("file", path, parse_domains, site.now, site.in_thread)
        elif not self._domains:
            raise SettingError("domains", "no domain is named, here or by `file`")
        self._refuse = settings.refuse_routing_characters

    def judge(self, envelope: Envelope, recipient: Recipient) -> Reply | None:
        """Permit our domains and the bare Postmaster (RFC 5321 section 4.5.1)."""
        address = recipient.address
        if not address.domain:
            return RECIPIENT_OK if address.local.lower() == "postmaster" else None
        if not self._is_ours(address.domain):
            return None
        if self._refuse and any(sign in address.local for sign in "%!@"):
            return ROUTING_REFUSED
        return RECIPIENT_OK

    def domains(self) -> list[str]:
        """The domains that are listed by their full names."""
        named = [*self._domains, *(() if self._file is None else self._file.value())]
        return [name for name in dict.fromkeys(named) if name[0] not in ".["]

    def _is_ours(self, domain: str) -> bool:
        return domain in self._domains or (self._file is not None and domain in self._file.value())


plugin = Plugin("inbound", IRelayPolicy, Settings, Inbound)
