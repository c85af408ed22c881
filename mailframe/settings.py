"""FLOOR 5: what the host itself can be told, besides its plugins; one dataclass per table.

The names here are the keys of `mailframe.toml`, the meanings are its documentation.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .setting import Duration, Size, setting
from .smtp.address import Mailbox


@dataclass(frozen=True, slots=True)
class Limits:
    """`[limits]`, and `limits = { … }` in a `[[listen]]` over it: what a stranger may use."""

    connections: int = setting("sessions at once on one listener; more: 421 4.7.0", 2000)
    connections_per_client: int = setting("sessions at once from one IP address", 50)
    recipients: int = setting("recipients in one transaction; more: 452 4.5.3", 1000)
    message_size: Size = setting("octets of a message; more: 552 5.3.4", Size(50 << 20))
    messages: int = setting("transactions in one session; more: 421 4.7.0", 1000)
    commands: int = setting("commands in a session that bring no mail (NOOP, RSET, …)", 100)
    errors: int = setting("refused commands in a session before 421 4.7.0", 20)
    hops: int = setting("Received: fields of a message before 554 5.4.6", 50)
    header_size: Size = setting("octets of the header section; more: 552 5.3.4", Size(256 << 10))
    header_lines: int = setting("lines of the header section; more: 552 5.3.4", 5000)
    unread_replies: Size = setting(
        "octets of replies that a client may leave unread before it is dropped", Size(64 << 10)
    )
    command_timeout: Duration = setting(
        "seconds to wait for a command (RFC 5321 section 4.5.3.2)", Duration(300.0)
    )
    data_timeout: Duration = setting("seconds to wait for the next octets of DATA", Duration(180.0))
    data_rate: int = setting(
        "octets of content a second that a client must bring, over each three minutes (each "
        "data_timeout, if that is longer); less: 421 4.4.2",
        100,
    )
    data_total: Duration = setting(
        "seconds that the content of one message may take", Duration(3600.0)
    )
    tls_timeout: Duration = setting("seconds for a TLS handshake", Duration(60.0))
    proxy_timeout: Duration = setting("seconds for a PROXY header to come", Duration(10.0))
    session_timeout: Duration = setting("seconds for a whole session", Duration(86400.0))


@dataclass(frozen=True, slots=True)
class LoginSettings:
    """`[logins]`: how often a stranger may guess, over all sessions and protocols."""

    failures_per_client: int = setting(
        "failed logins of one client (an IPv4 address, an IPv6 /64) within `period`; more: "
        "454 4.7.0",
        20,
    )
    failures_per_user: int = setting(
        "the same for one user, from clients that it has not logged in from before", 20
    )
    period: Duration = setting(
        "seconds in which so many failures are forgiven, one after the other", Duration(1800.0)
    )
    exempt: tuple[str, ...] = setting(
        "clients that log in for many users, as a webmail does, so that only these are counted: "
        "addresses, networks",
        (),
    )


@dataclass(frozen=True, slots=True)
class Listener:
    """One `[[listen]]`: a place where clients connect."""

    name: str = setting("what plugins' `on` and the logs call it")
    endpoint: str = setting('any Twisted server endpoint: "tcp:25", "tcp:587:interface=::"')
    protocol: str = setting(
        '"smtp", "lmtp", or the protocol that a [[serve]] plugin brings', "smtp"
    )
    tls: Literal["starttls", "implicit", "none"] = setting(
        "STARTTLS offered, TLS from the first octet, or none", "starttls"
    )
    requires: tuple[Literal["tls", "auth"], ...] = setting(
        "what a client must have done before MAIL: 530 otherwise", ()
    )
    auth_in_clear: bool = setting("take AUTH without TLS too; for tests and trusted wires", False)
    client_ca: Path | None = setting(
        "a PEM file of authorities: clients are asked for a certificate of theirs, and can log in "
        "by it; whoever shows none is served as ever",
        None,
    )
    submission: bool | None = setting(
        "add Message-ID and Date where absent; by default where auth is required", None
    )
    greet_delay: Duration = setting(
        "seconds before the greeting; who speaks before it is refused", Duration(0.0)
    )
    proxy: tuple[str, ...] = setting(
        "load balancers that begin each connection with a PROXY header: addresses, networks, "
        '"unix"',
        (),
    )
    xclient: tuple[str, ...] = setting(
        'clients that may say by XCLIENT for whom they speak: addresses, networks, "unix"', ()
    )
    limits: Limits | None = setting("limits of this listener, over those of [limits]", None)


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """`[tls]`: certificates of this host; without it no listener offers TLS."""

    certificates: Path = setting(
        "a folder with NAME/fullchain.pem and NAME/privkey.pem for each name, or one PEM file "
        "with key and chain; read again when they change"
    )
    default: str | None = setting("the name for clients without SNI; by default the hostname", None)
    minimum: Literal["1.2", "1.3"] = setting("the oldest TLS version", "1.2")


@dataclass(frozen=True, slots=True)
class DnsSettings:
    """`[dns]`: who answers our questions."""

    servers: tuple[str, ...] = setting(
        '"address" or "address:port" of each; by default those of /etc/resolv.conf', ()
    )
    timeout: Duration = setting("seconds for one question, retries included", Duration(15.0))
    cache_size: int = setting("answers kept at most", 10000)


@dataclass(frozen=True, slots=True)
class QueueTimes:
    """`[retry]`: when deferred mail is tried again, warned about and given up."""

    waits: tuple[Duration, ...] = setting(
        "waits after the first, second, … attempt; the last repeats",
        (Duration(60.0), Duration(300.0), Duration(900.0), Duration(3600.0), Duration(14400.0)),
    )
    warn_after: Duration | None = setting(
        "tell the sender of the delay after this", Duration(14400.0)
    )
    give_up_after: Duration = setting("bounce what is still undelivered", Duration(432000.0))
    jitter: float = setting("each wait varies by this fraction up or down", 0.1)
    active: int = setting("messages worked on at once", 200)
    per_destination: int = setting("deliveries at once to one agent and next hop", 20)
    lease: Duration = setting(
        "seconds until what a lost process held is due again", Duration(300.0)
    )
    attempt_timeout: Duration = setting("seconds for one delivery attempt", Duration(3600.0))


@dataclass(frozen=True, slots=True)
class BounceSettings:
    """`[bounce]`: the reports this host writes."""

    sender: Mailbox | None = setting(
        "the From: of reports; by default MAILER-DAEMON at the hostname", None
    )
    double_bounces: Mailbox | None = setting(
        "who gets the reports that cannot be delivered; None: dropped with a log line", None
    )
    return_size: Size = setting(
        "messages up to this size are returned in full where RET allows it", Size(50 << 10)
    )


@dataclass(frozen=True, slots=True)
class MailboxSettings:
    """`[mailboxes]`: where our users' mail is; delivery, routes and whoever reads it ask here."""

    path: Path = setting("where each mailbox's Maildir is, with {user} and {domain} in it")
    owner: str | None = setting(
        'who owns the files: a user (name or number), "{user}" for the system\'s user of that '
        'name, or "from the folder" for the owner of the nearest folder that exists; by default '
        "the host's user",
        None,
    )
    group: str | None = setting(
        "the group (name or number) of the files; may hold {user} or {domain}", None
    )
    owners: Path | None = setting(
        "a file of single mailboxes' owners: `name: user` or `name: user:group`", None
    )
    quota: Size | None = setting(
        "octets that a mailbox may hold; by default what its maildirsize says", None
    )
    quota_messages: int | None = setting("messages that a mailbox may hold", None)
    quotas: Path | None = setting(
        "a file of single mailboxes' quotas: `name: 2G` or `name: 2G, 10000`", None
    )
    users: Path | None = setting(
        "a file of users whose mailbox is not that of their name: `login: user@example.org`", None
    )
    domain: str | None = setting("the domain of users who log in without one", None)
    case_sensitive: bool = setting("whether Bob and bob are two mailboxes", False)


@dataclass(frozen=True, slots=True)
class HostSettings:
    """The top of `mailframe.toml`, all but the plugins."""

    hostname: str = setting("this host's name in greetings, Received: and reports")
    state: Path = setting("the folder of the queue, the trace and the control socket")
    listen: tuple[Listener, ...] = setting("[[listen]]: where clients connect", ())
    limits: Limits = setting("[limits]: for all listeners", factory=Limits)
    logins: LoginSettings = setting("[logins]: failed logins", factory=LoginSettings)
    tls: TlsSettings | None = setting("[tls]: certificates", None)
    dns: DnsSettings = setting("[dns]: name servers", factory=DnsSettings)
    retry: QueueTimes = setting("[retry]: the retry schedule", factory=QueueTimes)
    bounce: BounceSettings = setting("[bounce]: reports", factory=BounceSettings)
    mailboxes: MailboxSettings | None = setting("[mailboxes]: where our users' mail is", None)
    user: str | None = setting("the user to become once ports are bound and keys are read", None)
    group: str | None = setting("the group to become; by default the user's", None)
    workers: int = setting("processes that share the work; more than 1 under a supervisor", 1)
    threads: int = setting("threads for plugins' blocking work, in each worker", 10)
    stop_timeout: Duration = setting("seconds that a graceful stop may take", Duration(30.0))
    block_warning: Duration | None = setting(
        "warn of a call that keeps the whole process waiting so long; `false` for never",
        Duration(0.1),
    )
