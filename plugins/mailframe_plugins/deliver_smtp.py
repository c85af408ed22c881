"""`[deliver.smtp]` `plugin = "smtp"`: to the next host over SMTP, found by MX or named.

    port = 25                 # where other hosts listen, unless the route says
    private = false           # dial loopback and private addresses too
    connections = 20          # at once to one address
    authorities = "ca.pem"    # to trust for tls = "verify"; default: the platform's

Hosts are tried in the order of RFC 5321 section 5.1, with STARTTLS if they offer it. Connections
are reused. A route's next hop may demand TLS, a port, or a login.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom

from mailframe.interfaces import IDeliveryAgent
from mailframe.message import NextHop, Route
from mailframe.names.domains import to_ascii
from mailframe.names.ip import ip_or_none
from mailframe.plugin import Duration, Plugin, SettingError, Site, setting
from mailframe.smtp.address import AddressError, parse_domain
from mailframe.transmission import ClientTls, Courier, Exchanges, Opener, Pool, Timeouts
from mailframe.transmission.agent import Agent


@dataclass(frozen=True)
class Settings:
    """The settings."""

    port: int = setting("the port to dial on other hosts", 25)
    private: bool = setting("dial loopback, private and link-local addresses too", False)
    helo: str | None = setting("the name of this host in EHLO; by default the hostname", None)
    bind: tuple[str, ...] = setting(
        "IP addresses of this host to dial from, one IPv4 and one IPv6 at most", ()
    )
    authorities: Path | None = setting(
        'a PEM file of the certificate authorities to trust for tls = "verify"; by default the '
        "platform's",
        None,
    )
    certificate: Path | None = setting(
        "a PEM file with a key and its certificates, to show to hosts that ask for one", None
    )
    connections: int = setting("connections at once to one address", 20)
    idle: Duration = setting(
        "seconds that an unused connection is kept open for more mail", Duration(10.0)
    )
    messages: int = setting("messages sent over one connection", 100)
    recipients: int = setting("recipients in one transaction", 50)
    addresses: int = setting("the most addresses that are dialled in one attempt", 5)
    back_off: Duration = setting(
        "seconds until an address that could not be reached is dialled again", Duration(3.0)
    )
    long_lines: bool = setting(
        "pass on lines of over 998 octets; else they are re-encoded or broken", False
    )
    timeouts: Timeouts = setting("seconds to wait for each kind of reply", factory=Timeouts)


def build(settings: Settings, site: Site) -> Agent:
    """The agent. Raises SettingError."""
    _check(settings)
    pool = _pool(settings, site)
    exchanges = Exchanges(
        site.resolver,
        site.hostname,
        SystemRandom(),
        port=settings.port,
        private=settings.private,
        is_own=site.is_own,
    )
    courier = Courier(
        exchanges=exchanges,
        pool=pool,
        timeouts=settings.timeouts,
        in_thread=site.in_thread,
        addresses=settings.addresses,
        recipients=settings.recipients,
        agent=site.name.removeprefix("deliver."),
        depart=site.depart,
        demand=site.tls_demand,
        any_line=settings.long_lines,
    )
    return Agent(courier, pool, site.reactor, _next_hop)


def _pool(settings: Settings, site: Site) -> Pool:
    opener = Opener(
        hostname=settings.helo or site.hostname,
        reactor=site.reactor,
        tls=_tls(settings),
        timeouts=settings.timeouts,
        bind=settings.bind,
        names=(site.hostname,),
        in_thread=site.in_thread,
    )
    return Pool(
        opener,
        site.reactor,
        connections=settings.connections,
        idle=settings.idle,
        messages=settings.messages,
        back_off=settings.back_off,
    )


def _next_hop(route: Route) -> NextHop | None:
    """The route's next hop; without one, the exchanges of the recipient's domain."""
    if route.next_hop is not None or route.recipient is None:
        return route.next_hop
    domain = route.recipient.address.domain
    return NextHop(domain) if domain else None


def _tls(settings: Settings) -> ClientTls:
    # One after the other, to find out which of them is wrong.
    for key, files in (
        ("authorities", (settings.authorities,)),
        ("certificate", (settings.authorities, settings.certificate)),
    ):
        try:
            tls = ClientTls(*files)
        except (OSError, ValueError) as wrong:
            raise SettingError(key, str(wrong)) from wrong
    return tls


def _check(settings: Settings) -> None:
    if not 0 < settings.port < 65536:
        raise SettingError("port", f"{settings.port} is not a port (1 to 65535)")
    for key in ("connections", "messages", "recipients", "addresses"):
        if getattr(settings, key) < 1:
            raise SettingError(key, "must be 1 or more")
    for address in settings.bind:
        if ip_or_none(address) is None:
            raise SettingError("bind", f"{address!r} is not an IP address")
    if settings.helo is not None:
        try:
            to_ascii(parse_domain(settings.helo, strict=True))
        except (AddressError, ValueError) as wrong:
            raise SettingError("helo", str(wrong)) from wrong


plugin = Plugin("smtp", IDeliveryAgent, Settings, build)
