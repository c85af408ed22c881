"""What a host offers to its plugins: a reactor, a clock, threads, DNS, the queue."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from twisted.application.service import IService
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.threadpool import ThreadPool

from ..config import Composition, ConfigError, ConfigErrors, Section, compose, mailboxes_of
from ..config.suggest import did_you_mean
from ..eventual import Eventual
from ..hooks import Channel, Hooks
from ..interfaces import IInspected, IQueueStore
from ..maildir.mailboxes import Mailboxes
from ..message import Client, Departed, Envelope, Message, Route, TlsDemand, new_id
from ..plugin import Site, not_submitted
from ..resolver import Resolver
from ..serving import served_protocols
from ..smtp.reply import Reply
from ..wire.certificates import Certificates
from .control import Control, ask_everywhere
from .privileges import NoSuchAccount, account, give, may_give
from .rights import Needed, Use, needed_by_host, needed_by_mailboxes
from .shards import whole_queue
from .state_folder import SECRET, StateFolder

InThread = Callable[..., Deferred[Any]]


class _DaemonThread(threading.Thread):
    """A thread that does not keep the process alive.

    So if a plugin's work hangs, it ends with the process.
    """

    def __init__(self, **how: Any) -> None:
        super().__init__(**how, daemon=True)


class Resources:
    """Builds the plugins of one composition, and gives them what they work with.

    `stages` limits what is built ("queue", "observe", …); None builds everything. Raises
    ConfigErrors with all errors that the plugins find in their settings. `warnings` are what they
    say about settings that are valid but likely to be mistakes. Before `open` no file is opened for
    writing and no thread runs.

    This process is `worker` of `workers`; each has its part of the queue and takes care of parts
    that have no worker any more. `in_thread` replaces the pool of threads if no reactor runs here.
    """

    _log = Logger()

    def __init__(
        self,
        composition: Composition,
        reactor: Any,
        now: Callable[[], float],
        stages: Collection[str] | None = None,
        worker: int = 0,
        workers: int = 1,
        in_thread: InThread | None = None,
    ) -> None:
        self.worker, self.workers = worker, workers
        #: Set by the host once there are listeners.
        self.is_own: Callable[[str, int], bool] = lambda address, port: False
        #: Queues mail of the host's own; set by the host once there is a scheduler.
        self.door: Callable[[Envelope, bytes], Eventual[str]] = not_submitted
        #: What answers questions, and the certificates; set by the host once it has them.
        self.control: Control | None = None
        self.certificates: Certificates | None = None
        self.settings = composition.settings
        #: Names this start of this process: the owner of leases in a shared queue.
        self.owner = f"{self.settings.hostname}/{worker}/{new_id(now())}"
        self.folder = composition.folder
        self.reactor = reactor
        self.now = now
        self.resolver = Resolver.from_settings(reactor, self.settings.dns)
        self._threads = ThreadPool(0, self.settings.threads, "mailframe")
        self._threads.threadFactory = _DaemonThread  # type: ignore[assignment]
        self.in_thread: InThread = in_thread or self._in_pool
        self.warnings: list[ConfigError] = []
        self.needed: list[Needed] = list(needed_by_host(self.settings))  # once it is its `user`
        self._mailboxes, wrong = self._read_mailboxes(composition, stages)
        if stages is not None:
            kept = tuple(section for section in composition.sections if section.stage in stages)
            composition = replace(composition, sections=kept)
        hooks = compose(composition, self._site_for, wrong)
        if hooks.store is not None:
            store = whole_queue(hooks.store, composition, self._site_for, worker, workers)
            hooks = replace(hooks, store=store)
        self.hooks: Hooks = replace(hooks, secret=lambda: self.secret)
        self.served: Mapping[str, Any] = {} if stages is not None else self._protocols(composition)

    def _protocols(self, composition: Composition) -> dict[str, Any]:
        """The protocols that plugins bring.

        ConfigErrors for a listener whose protocol no plugin has.
        """
        sections = [each for each in composition.sections if each.stage == "serve"]
        try:
            served = served_protocols(self.hooks)
        except ValueError as wrong:
            raise ConfigErrors((sections[-1].error("plugin", str(wrong)),)) from wrong
        known = ("smtp", "lmtp", *served)
        errors = [
            composition.error(
                f"listen.{number}.protocol",
                f"there is no protocol {listener.protocol!r}"
                + (did_you_mean(listener.protocol, known) or f": {', '.join(known)}"),
            )
            for number, listener in enumerate(self.settings.listen)
            if listener.protocol not in known
        ]
        if errors:
            raise ConfigErrors(tuple(errors))
        spoken = {listener.protocol for listener in self.settings.listen}
        for section, bound in zip(sections, self.hooks.services, strict=True):
            idle = {name for name, each in served.items() if each is bound.plugin} - spoken
            if idle and not IService.providedBy(bound.plugin):
                message = f"warning: no [[listen]] has protocol = {idle.pop()!r}"
                self.warnings.append(section.error("plugin", message))
        return served

    def authenticate(self, client: Client, name: str, password: str) -> Eventual[str | Reply]:
        """See Site."""
        channel = Channel(private=True)  # the plugin must know how the password came
        return self.hooks.logins.by_password(name, password, client, channel)

    def depart(self, message: Message, routes: Sequence[Route]) -> Eventual[Departed | Reply]:
        """See Site."""
        return self.hooks.depart(message, routes)

    def tls_demand(self, domain: str, exchange: str) -> Eventual[TlsDemand | Reply | None]:
        """See Site."""
        return self.hooks.demand(domain, exchange)

    async def ask(self, question: str, **fields: Any) -> list[dict[str, Any]]:
        """See Site."""
        if self.control is None:
            raise LookupError("no host runs here, so nothing can be asked")
        return await ask_everywhere(
            self.control,
            lambda number: StateFolder(self.settings.state, number).control,
            self.reactor,
            question,
            **fields,
        )

    def _read_mailboxes(
        self, composition: Composition, stages: Collection[str] | None
    ) -> tuple[Mailboxes | None, tuple[ConfigError, ...]]:
        mailboxes, wrong = mailboxes_of(composition, self.now)
        if wrong and stages is not None:
            return None, ()  # a command that does something else must not fail because of these
        for key, trap in mailboxes.traps(self._may_give) if mailboxes and not wrong else ():
            self.warnings.append(composition.error(f"mailboxes.{key}", f"warning: {trap}"))
        if mailboxes is not None:
            self.needed += needed_by_mailboxes(mailboxes.settings, self.folder)
        return mailboxes, wrong

    def _in_pool(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Deferred[Any]:
        """Run blocking work in one of `threads` threads; if all are busy, it waits for its turn."""
        return deferToThreadPool(self.reactor, self._threads, function, *args, **kwargs)

    def open(self) -> None:
        """Let the threads run. Call it after the fork into a daemon, which would lose them."""
        self._threads.start()

    def close(self) -> Deferred[None]:
        """End the threads; fires once they have done what they are doing."""
        done: Deferred[None] = Deferred()
        if not self._threads.started:
            done.callback(None)
            return done

        def wait() -> None:
            self._threads.stop()
            self.reactor.callFromThread(done.callback, None)

        # A thread that hangs must not keep the reactor or the process alive.
        threading.Thread(target=wait, name="mailframe-threads-end", daemon=True).start()
        return done

    def inspected(self) -> list[tuple[str, IInspected]]:
        """Every plugin whose state can be looked at, by the name of its section."""
        found = [(each.name, each.plugin) for each in self.hooks.bounds]
        return [(name, plugin) for name, plugin in found if IInspected.providedBy(plugin)]

    def services(self) -> list[IService]:
        """Every plugin that is a Twisted service, the store first."""
        plugins = [self.hooks.store, *(each.plugin for each in self.hooks.bounds)]
        return [plugin for plugin in plugins if IService.providedBy(plugin)]

    @cached_property
    def secret(self) -> bytes:
        """The host's secret from its state folder; without that, one for this process only."""
        try:
            return StateFolder(self.settings.state).secret()
        except (OSError, ValueError) as wrong:
            self._log.warn("the host's secret cannot be read: {why}", why=str(wrong))
            return secrets.token_bytes(SECRET)

    def _site_for(self, section: Section) -> Site:
        return Site(
            hostname=self.settings.hostname,
            state=self.settings.state,
            folder=self.folder,
            reactor=self.reactor,
            now=self.now,
            in_thread=self.in_thread,
            resolver=self.resolver,
            store=self.store,
            submit=self.submit,
            worker=self.worker,
            owner=self.owner,
            is_own=self._is_own,
            name=section.name,
            mailboxes=self._mailboxes,
            warn=partial(self._warn, section),
            may_give=self._may_give,
            authenticate=self.authenticate,
            ask=self.ask,
            depart=self.depart,
            tls_demand=self.tls_demand,
            certificates=lambda: self.certificates,
            tell=partial(self._tell, section),
            will_read=partial(self._will_need, section, "read"),
            will_write=partial(self._will_need, section, "write"),
            give=self._give,
        )

    def _tell(self, section: Section, verdict: str, **facts: Any) -> None:
        self.hooks.tell_of(section.stage, verdict, section.name, facts)

    def _warn(self, section: Section, key: str, message: str) -> None:
        self.warnings.append(section.error(key, f"warning: {message}"))

    def _will_need(self, section: Section, use: Use, key: str, path: Path) -> None:
        self.needed.append(Needed(section, key, path, use))

    def _give(self, file: int) -> None:
        try:
            give(account(self.settings.user, self.settings.group), file)
        except NoSuchAccount as wrong:
            raise OSError(str(wrong)) from wrong

    def _may_give(self, uid: int, gid: int) -> bool:
        try:
            whom = account(self.settings.user, self.settings.group)
        except NoSuchAccount:
            return True  # the host will not start
        return may_give(whom, uid, gid)

    def _is_own(self, address: str, port: int) -> bool:
        return self.is_own(address, port)

    def submit(self, envelope: Envelope, octets: bytes) -> Eventual[str]:
        """See Site."""
        return self.door(envelope, octets)

    def store(self) -> IQueueStore:
        """The queue's store, for plugins that send mail; available once all plugins are built."""
        store = self.hooks.store
        if store is None:
            raise LookupError("this composition has no [queue]")
        return store
