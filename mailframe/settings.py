"""FLOOR 5: the settings of the host itself, besides its plugins; one dataclass for each table.

The names here are the keys of `mailframe.toml`, and the meanings are its documentation.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .setting import Duration, Size, setting
from .smtp.address import Mailbox


@dataclass(frozen=True, slots=True)
class Limits:
    """`[limits]`, and `limits = { … }` of one `[[listen]]`: how much a client may use."""

    connections: int = setting("sessions at once on one listener; more: 421 4.7.0", 2000)
    connections_per_client: int = setting(
        "sessions at once from one IP address, on one listener", 50
    )
    recipients: int = setting("recipients in one transaction; more: 452 4.5.3", 1000)
    message_size: Size = setting("octets of a message; more: 552 5.3.4", Size(50 << 20))
    messages: int = setting("transactions in one session; more: 421 4.7.0", 1000)
    commands: int = setting(
        "commands without mail (NOOP, RSET, …) since the last accepted message; more: 421 4.7.0",
        100,
    )
    errors: int = setting("refused commands since the last accepted message; more: 421 4.7.0", 20)
    hops: int = setting("Received: fields of a message; more: 554 5.4.6, as in a mail loop", 50)
    header_size: Size = setting("octets of the header section; more: 552 5.3.4", Size(256 << 10))
    header_lines: int = setting("lines of the header section; more: 552 5.3.4", 5000)
    unread_replies: Size = setting(
        "octets of replies that a client may leave unread; more: it is disconnected", Size(64 << 10)
    )
    command_timeout: Duration = setting(
        "seconds to wait for the next command (RFC 5321 section 4.5.3.2)", Duration(300.0)
    )
    data_timeout: Duration = setting(
        "seconds to wait for the next octets of a message", Duration(180.0)
    )
    data_rate: int = setting(
        "octets of content a second that a client must bring, over each three minutes (each "
        "data_timeout, if that is longer); less: 421 4.4.2",
        100,
    )
    data_total: Duration = setting(
        "seconds that the content of one message may take", Duration(3600.0)
    )
    tls_timeout: Duration = setting("seconds for a TLS handshake", Duration(60.0))
    proxy_timeout: Duration = setting("seconds to wait for a PROXY header", Duration(10.0))
    session_timeout: Duration = setting("seconds that a whole session may last", Duration(86400.0))


@dataclass(frozen=True, slots=True)
class LoginSettings:
    """`[logins]`: how many logins may fail, over all sessions and protocols."""

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

    name: str = setting("its name, for the `on` of plugins and for the log")
    endpoint: str = setting(
        'any Twisted server endpoint: "tcp:25" (IPv4 only), "tcp6:25" (IPv6 and IPv4), '
        '"tcp:587:interface=::1"; or address and port: "[::1]:587"'
    )
    protocol: str = setting(
        '"smtp", "lmtp", or the protocol that a [[serve]] plugin brings', "smtp"
    )
    tls: Literal["starttls", "implicit", "none"] = setting(
        "starttls: offer STARTTLS; implicit: TLS from the first octet; none: no TLS", "starttls"
    )
    requires: tuple[Literal["tls", "auth"], ...] = setting(
        "what a client must have done before MAIL; otherwise it reads 530", ()
    )
    auth_in_clear: bool = setting(
        "offer and accept AUTH without TLS too; for tests and trusted networks", False
    )
    client_ca: Path | None = setting(
        "a PEM file of certificate authorities: clients are asked for a certificate issued by one "
        "of them, and can log in by it; a client that shows none is served all the same",
        None,
    )
    submission: bool | None = setting(
        "add Message-ID and Date to mail that lacks them; by default if `requires` has auth, or if "
        "the client has logged in",
        None,
    )
    drop_fields: tuple[str, ...] = setting(
        "header fields taken out of what comes in: blind copies are nobody's business, Return-Path "
        "is the last host's to write, Content-Length is not true for long",
        ("Bcc", "Content-Length", "Resent-Bcc", "Return-Path"),
    )
    strict: bool = setting(
        "take commands only as RFC 5321 spells them; or else also long local parts, dots and "
        "underscores at odd places, paths without brackets, and any name in EHLO",
        False,
    )
    bare_lf: Literal["refuse", "normalize"] = setting(
        'lines that end with LF alone: refuse them (554 5.6.0 in text), or "normalize" for devices '
        "of one's own: LF ends a line and becomes CRLF, but only CRLF dot CRLF ends the data",
        "refuse",
    )
    greet_delay: Duration = setting(
        "seconds to wait before the greeting; a client that speaks before it is refused",
        Duration(0.0),
    )
    proxy: tuple[str, ...] = setting(
        "load balancers that begin each connection with a PROXY header: addresses, networks, "
        'or "unix"',
        (),
    )
    xclient: tuple[str, ...] = setting(
        'clients that may name the real client by XCLIENT: addresses, networks, or "unix"', ()
    )
    limits: Limits | None = setting("limits of this listener, in place of those in [limits]", None)


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """`[tls]`: the certificates of this host. Without it no listener offers TLS."""

    certificates: Path = setting(
        "a folder with NAME/fullchain.pem and NAME/privkey.pem for each host name, or one PEM file "
        "with the key and the chain; read again when they change"
    )
    default: str | None = setting(
        "the host name whose certificate is shown to clients without SNI; by default the hostname",
        None,
    )
    minimum: Literal["1.2", "1.3"] = setting("the oldest TLS version", "1.2")


@dataclass(frozen=True, slots=True)
class DnsSettings:
    """`[dns]`: the name servers that this host asks."""

    servers: tuple[str, ...] = setting(
        'the name servers, as "address" or "address:port"; by default those of /etc/resolv.conf', ()
    )
    timeout: Duration = setting("seconds for one question, retries included", Duration(15.0))
    cache_size: int = setting("the most answers that are kept in memory", 10000)


@dataclass(frozen=True, slots=True)
class QueueTimes:
    """`[retry]`: when deferred mail is tried again, when its sender is told, when it bounces."""

    waits: tuple[Duration, ...] = setting(
        "the wait after the first attempt, after the second, …; the last one repeats",
        (Duration(60.0), Duration(300.0), Duration(900.0), Duration(3600.0), Duration(14400.0)),
    )
    warn_after: Duration | None = setting(
        "tell the sender of the delay after this time", Duration(14400.0)
    )
    give_up_after: Duration = setting(
        "bounce what is undelivered after this time", Duration(432000.0)
    )
    jitter: float = setting("each wait is longer or shorter by up to this fraction, at random", 0.1)
    active: int = setting("messages worked on at once", 200)
    per_destination: int = setting("deliveries at once by one agent to one next hop", 20)
    expansion: int = setting(
        "addresses that one recipient, or all of a message at a time, may stand for", 5000
    )
    lease: Duration = setting(
        "seconds until others may take the messages of a process that died", Duration(300.0)
    )
    attempt_timeout: Duration = setting(
        "seconds that one delivery attempt may take", Duration(3600.0)
    )


@dataclass(frozen=True, slots=True)
class BounceSettings:
    """`[bounce]`: the reports that this host sends."""

    sender: Mailbox | None = setting(
        "the address in From: of reports; by default MAILER-DAEMON at the hostname", None
    )
    double_bounces: Mailbox | None = setting(
        "the address that gets reports that cannot be delivered; by default they are dropped and "
        "logged",
        None,
    )
    return_size: Size = setting(
        "reports return a message of up to this size in full, if RET allows it", Size(50 << 10)
    )


@dataclass(frozen=True, slots=True)
class MailboxSettings:
    """`[mailboxes]`: where users' mail is, for delivery, routes and plugins that read it."""

    path: Path = setting("where each mailbox's Maildir is, with {user} and {domain} in it")
    owner: str | None = setting(
        'who owns the files: a user (name or number), "{user}" for the system\'s user of that '
        'name, or "from the folder" for the owner of the nearest folder that exists; by default '
        "the host's user",
        None,
    )
    group: str | None = setting(
        "the group (name or number) of the files; may contain {user} or {domain}", None
    )
    owners: Path | None = setting(
        "a file with the owners of single mailboxes: `name: user` or `name: user:group`", None
    )
    quota: Size | None = setting(
        "octets that a mailbox may hold; by default what its file maildirsize says", None
    )
    quota_messages: int | None = setting("messages that a mailbox may hold", None)
    quotas: Path | None = setting(
        "a file with the quotas of single mailboxes: `name: 2G` or `name: 2G, 10000`", None
    )
    users: Path | None = setting(
        "a file of the users whose mailbox is not the one of their name: `login: user@example.org`",
        None,
    )
    domain: str | None = setting("the domain of users who log in without one", None)
    case_sensitive: bool = setting("whether Bob and bob are two mailboxes", False)


@dataclass(frozen=True, slots=True)
class HostSettings:
    """The top of `mailframe.toml`: everything but the plugins."""

    hostname: str = setting("this host's name in greetings, Received: and reports")
    state: Path = setting("the folder of the queue, the trace and the control socket")
    listen: tuple[Listener, ...] = setting(
        "[[listen]]: where clients connect, a section for each place", ()
    )
    limits: Limits = setting("[limits]: what a client may use, on all listeners", factory=Limits)
    logins: LoginSettings = setting("[logins]: failed logins", factory=LoginSettings)
    tls: TlsSettings | None = setting("[tls]: certificates", None)
    dns: DnsSettings = setting("[dns]: name servers", factory=DnsSettings)
    retry: QueueTimes = setting("[retry]: the retry schedule", factory=QueueTimes)
    bounce: BounceSettings = setting(
        "[bounce]: reports of late or undelivered mail", factory=BounceSettings
    )
    mailboxes: MailboxSettings | None = setting("[mailboxes]: where users' mail is", None)
    user: str | None = setting(
        "the user that the host becomes once its ports are bound and its keys are read", None
    )
    group: str | None = setting("the group that the host becomes; by default the user's", None)
    workers: int = setting("processes that share the work; if more than 1, under a supervisor", 1)
    threads: int = setting("threads for plugins' blocking work, in each worker", 10)
    stop_timeout: Duration = setting("seconds that a graceful stop may take", Duration(30.0))
    block_warning: Duration | None = setting(
        "log a call that keeps the whole process waiting for this long; `false`: never",
        Duration(0.1),
    )
