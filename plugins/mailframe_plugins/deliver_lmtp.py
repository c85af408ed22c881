"""`[deliver.dovecot]` `plugin = "lmtp"`, `path = "/run/dovecot/lmtp"`: to a mail store over LMTP.

    path = "/run/dovecot/lmtp"        # a unix socket
    host = "store.example.org"        # or a host and port, instead
    port = 24

For local mailboxes that another program keeps (RFC 2033). The store answers for each recipient, and
what it accepts counts as delivered. It is given the recipient's address with its tag, and adds
Return-Path itself. Mail for the Postmaster without a domain goes to the mailbox of its route, or to
that of this host's name. If a route has its own next hop, the mail goes there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom

from mailframe.interfaces import IDeliveryAgent
from mailframe.message import NextHop
from mailframe.plugin import Duration, Plugin, SettingError, Site, setting
from mailframe.transmission import ClientTls, Courier, Exchanges, Opener, Pool, Timeouts
from mailframe.transmission.agent import Agent


@dataclass(frozen=True)
class Settings:
    """The settings."""

    path: Path | None = setting("the unix socket of the mail store", None)
    host: str | None = setting(
        "the host name or IP address of the mail store, instead of `path`", None
    )
    port: int = setting("the port of the mail store", 24)
    connections: int = setting("connections at once to the mail store", 10)
    idle: Duration = setting(
        "seconds that an unused connection is kept open for more mail", Duration(10.0)
    )
    messages: int = setting("messages sent over one connection", 100)
    recipients: int = setting("recipients in one transaction", 50)
    long_lines: bool = setting(
        "pass on lines of over 998 octets; else they are re-encoded or broken", True
    )
    timeouts: Timeouts = setting("seconds to wait for each kind of reply", factory=Timeouts)


def build(settings: Settings, site: Site) -> Agent:
    """The agent. Raises SettingError."""
    store = _store(settings)
    opener = Opener(
        hostname=site.hostname,
        reactor=site.reactor,
        tls=ClientTls(),
        timeouts=settings.timeouts,
        lmtp=True,
    )
    pool = Pool(
        opener,
        site.reactor,
        connections=settings.connections,
        idle=settings.idle,
        messages=settings.messages,
        back_off=0.0,  # a store that restarts is back in a moment
    )
    courier = Courier(
        exchanges=Exchanges(site.resolver, site.hostname, SystemRandom(), port=settings.port),
        pool=pool,
        timeouts=settings.timeouts,
        in_thread=site.in_thread,
        recipients=settings.recipients,
        any_line=settings.long_lines,
        final=True,
    )
    return Agent(
        courier, pool, site.reactor, lambda route: route.next_hop or store, domain=site.hostname
    )


def _store(settings: Settings) -> NextHop:
    """The next hop to the store. The operator names it, so a private address is allowed."""
    if (settings.path is None) == (settings.host is None):
        raise SettingError("path", "either path or host says where the store listens")
    if not 0 < settings.port < 65536:
        raise SettingError("port", f"{settings.port} is not a port (1 to 65535)")
    for key in ("connections", "messages", "recipients"):
        if getattr(settings, key) < 1:
            raise SettingError(key, "must be 1 or more")
    if settings.path is not None:
        return NextHop(str(settings.path), lookup="unix", tls="never", private=True)
    return NextHop(settings.host or "", lookup="host", port=settings.port, private=True)


plugin = Plugin("lmtp", IDeliveryAgent, Settings, build)
