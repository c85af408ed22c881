"""FLOOR 5: how a plugin is declared, and what it is given.

    # plugins/mailframe_plugins/relay_networks.py
    @dataclass(frozen=True)
    class Settings:
        networks: tuple[str, ...] = setting("clients that may relay, in CIDR notation")

    plugin = Plugin("networks", IRelayPolicy, Settings, Networks)

where `Networks(settings, site)` is the class. A plugin is found by its module's name
(`relay_networks` is `plugin = "networks"` in `[[relay]]`) or as `"module:Class"` beside the
configuration; a class given that way needs no Plugin and takes (settings: dict, site).
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
from .message import Client, Content, Envelope, Finding, Recipient
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
    """For a plugin that has nothing to set."""


def not_lent(*_arguments: Any, **_more: Any) -> Any:
    """In place of what only a running host lends: raises LookupError."""
    raise LookupError("no host runs here")


def not_submitted(envelope: Envelope, octets: bytes) -> Eventual[str]:
    """In place of the door of a host that does not run: raises LookupError."""
    raise LookupError("no scheduler runs here, so nothing can be queued")


@dataclass(frozen=True, slots=True)
class Site:
    """What the host lends to every plugin.

    `reactor` is the Twisted reactor (a Clock in tests); `now()` wall-clock seconds since
    the epoch; `state` the host's folder, `folder` that of the configuration; `in_thread`
    runs blocking work in a bounded pool; `resolver` asks DNS; `worker` tells this process
    from its siblings; `owner` tells this start of it from every other one, on other hosts too;
    `is_own` knows our listeners. `submit(envelope, octets)` queues a message of the plugin's
    own (`mailframe.queue.submission`): its id once it is durable, OSError if it cannot be;
    LookupError while no scheduler runs. `store()` is the queue's store, to look into it.
    `mailboxes` is what `[mailboxes]` says, None if the configuration has none.

    `warn(key, message)`, called by `build`, tells whoever runs `mailframe check` that a setting
    is right and yet a trap. `may_give(uid, gid)` says whether the host, once it has become its
    `user`, may give a file to that user and group (-1: nobody in particular).
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
    owner: str = ""  # "mx1.example.org/0/9BCK2…": names the owner of a lease in a shared queue
    #: Whether an IP address and port are those of one of this host's own SMTP listeners.
    is_own: Callable[[str, int], bool] = lambda address, port: False
    name: str = ""  # of this plugin's section: "deliver.archive", "relay"
    mailboxes: Mailboxes | None = None
    warn: Callable[[str, str], None] = lambda key, message: None
    may_give: Callable[[int, int], bool] = lambda uid, gid: True
    #: will_read(key, path): `build` says that the host reads this file, which the setting `key`
    #: names, again while it runs; will_write: that it writes there. `mailframe check` and the
    #: start warn if the host's `user` may not.
    will_read: Callable[[str, Path], None] = lambda key, path: None
    will_write: Callable[[str, Path], None] = lambda key, path: None
    #: Gives an open file that a command made as root to the user that the host becomes.
    give: Callable[[int], None] = lambda file: None
    #: Whose a name and password are: the user's name, or a Reply that says why not.
    authenticate: Callable[[Client, str, str], Eventual[str | Reply]] = not_lent
    #: The rows that answer a question to this process of the host (`mailframe.host.control`).
    ask: Callable[..., Eventual[Sequence[Mapping[str, Any]]]] = not_lent
    #: This host's certificates, None without `[tls]`; for what speaks TLS by itself.
    certificates: Callable[[], Certificates | None] = lambda: None
    #: Tell observers: tell(verdict, **facts), at the plugin's own stage.
    tell: Callable[..., None] = lambda verdict, **facts: None
    #: Whether this process has root's rights now: it may give them up once its ports are bound.
    is_root: Callable[[], bool] = lambda: os.geteuid() == 0


@dataclass(frozen=True, slots=True)
class Plugin:
    """One plugin: the name the operator writes, the interface, settings, and who builds it.

    `build(settings, site)` returns an object that provides `interface`; it raises
    SettingError for a value that cannot be. Objects that also provide Twisted's IService
    are started and stopped with the host.
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
