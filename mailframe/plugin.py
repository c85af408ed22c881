"""FLOOR 3: how a plugin is declared, and what it is given.

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

from collections.abc import Callable
from dataclasses import MISSING, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NewType, ParamSpec, TypeVar

from twisted.internet.defer import Deferred
from zope.interface import implementer
from zope.interface.interface import InterfaceClass

from .eventual import Eventual
from .interfaces import IFilter, IQueueStore
from .message import Client, Content, Envelope, Finding, Recipient
from .smtp.reply import Reply

if TYPE_CHECKING:
    from .resolver import Resolver

#: Seconds; the configuration takes numbers and texts such as "90s", "15m", "4h", "5d".
Duration = NewType("Duration", float)
#: Octets; the configuration takes numbers and texts such as "512K", "25M", "2G" (1024 each).
Size = NewType("Size", int)
#: What must not be shown: the configuration takes a text, or { file = "..." } or { env = "..." }.
Secret = NewType("Secret", str)

P = ParamSpec("P")
T = TypeVar("T")


def setting(meaning: str, default: Any = MISSING, factory: Any = MISSING) -> Any:
    """A field of a settings dataclass; `meaning` is what `mailframe check` and the docs say.

    Types: str, int, float, bool, Path (relative to the configuration's folder), Duration,
    Size, Secret, Literal, Mailbox, tuples and dicts of these, other settings dataclasses,
    and `X | None`. A field without a default must be given.
    """
    return field(default=default, default_factory=factory, metadata={"meaning": meaning})


class SettingError(ValueError):
    """A value that is well-formed but wrong, raised by a plugin's `build`.

    `key` is the setting's name; the operator reads `file:line: key: message`.
    """

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key
        self.message = message


@dataclass(frozen=True)
class NoSettings:
    """For a plugin that has nothing to set."""


@dataclass(frozen=True, slots=True)
class Site:
    """What the host lends to every plugin.

    `reactor` is the Twisted reactor (a Clock in tests); `now()` wall-clock seconds since
    the epoch; `state` the host's folder, `folder` that of the configuration; `in_thread`
    runs blocking work in a bounded pool; `resolver` asks DNS; `worker` tells this process
    from its siblings; `is_own` knows our listeners. `store()` is the queue's store, for
    plugins that send mail of their own.
    """

    hostname: str
    state: Path
    folder: Path
    reactor: Any
    now: Callable[[], float]
    in_thread: Callable[..., Deferred[Any]]
    resolver: Resolver
    store: Callable[[], IQueueStore]
    worker: int = 0
    #: Whether an IP address and port are those of one of this host's own SMTP listeners.
    is_own: Callable[[str, int], bool] = lambda address, port: False
    name: str = ""  # of this plugin's section: "deliver.archive", "relay"


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
