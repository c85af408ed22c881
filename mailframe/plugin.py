"""FLOOR 5: how a plugin is declared, and what the host gives it.

    # plugins/mailframe_plugins/relay_networks.py
    @dataclass(frozen=True)
    class Settings:
        networks: tuple[str, ...] = setting("clients that may relay, in CIDR notation")

    plugin = Plugin("networks", IRelayPolicy, Settings, Networks)

Here `Networks(settings, site)` is the class. A plugin is found by the name of its module
(`relay_networks` is `plugin = "networks"` in `[[relay]]`), or as `"module:Class"` beside the
configuration. A class that is named in that way needs no Plugin and takes (settings: dict, site).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from zope.interface import implementer
from zope.interface.interface import InterfaceClass

from .eventual import Eventual
from .interfaces import IFilter, IQueueStore, IResolver
from .message import (
    Client,
    Content,
    Departed,
    Envelope,
    Finding,
    Message,
    Recipient,
    Route,
    TlsDemand,
)
from .setting import Duration, Secret, SettingError, Size, setting
from .smtp.reply import Reply

if TYPE_CHECKING:
    from .maildir.mailboxes import Mailboxes
    from .wire.certificates import Certificates

__all__ = [
    "Duration",
    "Filter",
    "NoSettings",
    "Plugin",
    "Secret",
    "SettingError",
    "Site",
    "Size",
    "setting",
]


@dataclass(frozen=True)
class NoSettings:
    """The settings of a plugin that has none."""


def not_lent(*_arguments: Any, **_more: Any) -> Any:
    """Stands for functions that only a running host offers: raises LookupError."""
    raise LookupError("no host runs here")


def not_submitted(envelope: Envelope, octets: bytes) -> Eventual[str]:
    """Stands for `submit` of a host that does not run: raises LookupError."""
    raise LookupError("no scheduler runs here, so nothing can be queued")


def unchanged(message: Message, routes: Sequence[Route]) -> Departed:
    """Stands for departure hooks if there are none: the message as it is."""
    return Departed(message)


def not_demanded(domain: str, exchange: str) -> None:
    """Stands for TLS policies if there are none."""
    return


@dataclass(frozen=True, slots=True)
class Site:
    """What the host offers to every plugin.

    `reactor` is the Twisted reactor (a Clock in tests), and `now()` is wall-clock seconds since the
    epoch. `state` is the host's state folder, `folder` that of the configuration. `in_thread` runs
    blocking work in a limited pool of threads. `resolver` asks DNS. `worker` is the number of this
    process among those of the host. `owner` names this start of this process, unlike any other, on
    other hosts too. `is_own` knows the listeners of this host.

    `submit(envelope, octets)` queues a message that the plugin has written
    (`mailframe.queue.submission`); it returns the id once the message is durable. OSError if it
    cannot be made durable; LookupError while no scheduler runs. `store()` is the queue's store, to
    be read. `mailboxes` is what `[mailboxes]` says; None if the configuration has none.

    `warn(key, message)`, called by `build`, warns the operator who runs `mailframe check` of a
    setting that is valid but likely to be a mistake. `may_give(uid, gid)` says whether the host,
    after it has become its `user`, may give a file to that user and group (-1: no particular one).
    """

    hostname: str
    state: Path
    folder: Path
    reactor: Any
    now: Callable[[], float]
    in_thread: Callable[..., Deferred[Any]]
    resolver: IResolver
    store: Callable[[], IQueueStore]
    submit: Callable[[Envelope, bytes], Eventual[str]] = not_submitted
    worker: int = 0
    owner: str = ""  # "mx1.example.org/0/9BCK2…", the owner of leases in a shared queue
    #: True if an IP address and port are those of one of this host's own SMTP listeners.
    is_own: Callable[[str, int], bool] = lambda address, port: False
    name: str = ""  # of this plugin's section: "deliver.archive", "relay"
    mailboxes: Mailboxes | None = None
    warn: Callable[[str, str], None] = lambda key, message: None
    may_give: Callable[[int, int], bool] = lambda uid, gid: True
    #: will_read(key, path) is called in `build` for a file, named by the setting `key`, that is
    #: read again while the host runs, and will_write for one that is written. `mailframe check`
    #: and the start warn if the host's `user` may not do so.
    will_read: Callable[[str, Path], None] = lambda key, path: None
    will_write: Callable[[str, Path], None] = lambda key, path: None
    #: Gives an open file that a command made as root to the user that the host becomes.
    give: Callable[[int], None] = lambda file: None
    #: Checks a name and password: the user's name, or a Reply that says why not.
    authenticate: Callable[[Client, str, str], Eventual[str | Reply]] = not_lent
    #: The rows with which the host, all its workers, answers a question (`mailframe.host.control`).
    ask: Callable[..., Eventual[Sequence[Mapping[str, Any]]]] = not_lent
    #: The message as changed by `[[departure]]` for another host, or a Reply if it must stay.
    depart: Callable[[Message, Sequence[Route]], Eventual[Departed | Reply]] = unchanged
    #: What `[[tls_policy]]` demands of an exchange, called with (domain, exchange); see ITlsPolicy.
    tls_demand: Callable[[str, str], Eventual[TlsDemand | Reply | None]] = not_demanded
    #: This host's certificates, for plugins that do their own TLS; None without `[tls]`.
    certificates: Callable[[], Certificates | None] = lambda: None
    #: Tell observers: tell(verdict, **facts), at the plugin's own stage.
    tell: Callable[..., None] = lambda verdict, **facts: None
    #: True if this process has root's rights now; it may give them up once its ports are bound.
    is_root: Callable[[], bool] = lambda: os.geteuid() == 0


@dataclass(frozen=True, slots=True)
class Plugin:
    """One plugin: the name that the operator writes, its interface, its settings, its builder.

    `build(settings, site)` returns an object that provides `interface`. It raises SettingError for
    a value that cannot be used. Objects that also provide Twisted's IService are started and
    stopped with the host.
    """

    name: str
    interface: InterfaceClass
    settings: type[Any]
    build: Callable[[Any, Site], Any]


@implementer(IFilter)
class Filter:
    """A filter without opinions; subclass it and write the stages you need."""

    def connected(self, client: Client) -> Eventual[Reply | Finding | None]:
        """No opinion."""
        return None

    def hello(self, client: Client) -> Eventual[Reply | Finding | None]:
        """No opinion."""
        return None

    def sender(self, envelope: Envelope) -> Eventual[Reply | Finding | None]:
        """No opinion."""
        return None

    def recipient(
        self, envelope: Envelope, recipient: Recipient
    ) -> Eventual[Reply | Finding | None]:
        """No opinion."""
        return None

    def content(self, envelope: Envelope, content: Content) -> Eventual[Reply | Finding | None]:
        """No opinion."""
        return None
