"""[deliver.archive] plugin = "pipe", command = ["/usr/bin/archive", "--to", "{recipient}"]

Runs a program for each recipient, without a shell, and gives it the message on standard input. Its
exit status says what became of the message: 0 delivered, others as in sysexits.h; other statuses
and signals mean "try again". Placeholders in the arguments: {sender} {recipient} {user} {domain}
{tag} {id}. If a value begins with a hyphen and would begin its argument, it is refused, unless an
argument `--` comes before it. The program never runs with root's rights.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from twisted.internet.defer import CancelledError, Deferred, DeferredList, DeferredSemaphore
from twisted.internet.interfaces import IDelayedCall, IPullProducer
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from mailframe import final_delivery as final
from mailframe.final_delivery import SYSEXITS, LineEnder, LineEnds
from mailframe.interfaces import IDeliveryAgent
from mailframe.message import Message, Outcome, Recipient, Route, Status
from mailframe.plugin import Duration, Plugin, SettingError, Site, setting
from mailframe.repeated import RepeatedLog
from mailframe.smtp.reply import BEEN_HERE, NO_DELIVERY, Reply

CHUNK = 1 << 16  # octets given to the program at once
MAX_OUTPUT = 1 << 12  # octets of its output that are kept
MAX_WORDS = 200  # characters of the output that go into a reply
GRACE = 3.0  # seconds between SIGTERM and SIGKILL
LAST_WORDS = 0.5  # seconds to wait for output after the program's end

ODD = Reply(553, "This address cannot be given to the program that delivers here", "5.1.3")
AS_ROOT = Reply(451, "The program that delivers has no user to run as", "4.3.5")
TOO_LONG = Reply(451, "The program that delivers took too long, try again later", "4.3.0")

_PLACEHOLDERS = frozenset({"sender", "recipient", "user", "domain", "tag", "id"})
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_STATUS = re.compile(r"([245]\.\d{1,3}\.\d{1,3})\s+(.*)")
_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}

DELIVERED = Reply(250, "Delivered to the program", "2.0.0")
UNKNOWN = Reply(451, "The program that delivers failed", "4.3.0")


@dataclass(frozen=True)
class Settings:
    """The settings."""

    command: tuple[str, ...] = setting("the program's absolute path and its arguments")
    time_limit: Duration = setting(
        "seconds until the program and its children are ended; it is tried again later",
        Duration(300.0),
    )
    concurrency: int = setting("programs running at once", 20)
    user: str | None = setting("the user that runs the program; needed if the host is root", None)
    folder: Path | None = setting("the program's working directory; by default the host's", None)
    environment: dict[str, str] = setting(
        "environment variables besides PATH, LANG, SENDER, RECIPIENT, ORIGINAL_RECIPIENT, MAIL_ID",
        factory=dict,
    )
    headers: bool = setting("add Return-Path and Delivered-To, by which loops are found too", True)
    line_ends: LineEnds = setting("the line ends that the program reads", "lf")
    null_sender: str = setting("the value of {sender} and SENDER for the null sender", "")
    allow_hyphen: bool = setting("run the program even if a value begins with a hyphen", False)


@implementer(IDeliveryAgent)
class Pipe:
    """Delivers by running a program; see the settings."""

    _log = Logger()

    def __init__(self, settings: Settings, site: Site) -> None:
        self._settings = settings
        self._site = site
        self._places = DeferredSemaphore(_checked(settings))
        self._program = settings.command[0]
        self._user = _user(settings.user)
        self._loud = RepeatedLog(self._log, site.reactor.seconds)
        # With a session of its own it is a process group that can be ended as one.
        setsid = shutil.which("setsid")
        self._before: tuple[str, ...] = (setsid,) if setsid else ()

    def deliver(self, message: Message, routes: Sequence[Route]) -> Deferred[Iterable[Outcome]]:
        """Run the program for each route. Cancelling ends the runs.

        If a run fails, that is logged and it has no Outcome; the outcomes of the others stay.
        """
        runs = [self._places.run(self._run, message, route) for route in routes]
        return DeferredList(runs, consumeErrors=True).addCallback(self._outcomes)

    def _outcomes(self, results: list[tuple[bool, Any]]) -> list[Outcome]:
        for well, result in results:
            if not well and not result.check(CancelledError):
                self._log.failure("a run of {program} failed", result, program=self._program)
        return [result for well, result in results if well]

    def _run(self, message: Message, route: Route) -> Deferred[Outcome]:
        return Deferred.fromCoroutine(self._outcome(message, route))

    async def _outcome(self, message: Message, route: Route) -> Outcome:
        recipient = route.recipient
        if recipient is None:
            raise ValueError("a route without its recipient")
        arguments = self._arguments(message, route, recipient)
        if arguments is None:
            return Outcome(recipient, Status.FAILED, ODD)
        try:
            if self._settings.headers and final.has_been_at(recipient, await self._seen(message)):
                return Outcome(recipient, Status.FAILED, BEEN_HERE)
            reply = await self._ran(message, recipient, arguments)
        except OSError as failed:
            self._log.error(
                "{id}: {program}: {problem}",
                id=message.id,
                program=self._program,
                problem=str(failed),
            )
            reply = NO_DELIVERY
        if reply.positive:
            return Outcome(recipient, Status.DELIVERED, reply)
        return Outcome(recipient, Status.DEFERRED if reply.temporary else Status.FAILED, reply)

    async def _seen(self, message: Message) -> frozenset[bytes]:
        if message.content.at_hand is not None:
            return final.delivered_to(message.content)
        seen: frozenset[bytes] = await self._site.in_thread(final.delivered_to, message.content)
        return seen

    async def _ran(self, message: Message, recipient: Recipient, arguments: Sequence[str]) -> Reply:
        """Run it to its end. OSError if the content or the program cannot be used."""
        if self._user is None and self._site.is_root():
            # A stranger's octets and arguments. Postfix's pipe(8) refuses to run as root as well.
            self._loud.error(
                "[{section}] {program} is not run as root: set `user` here, or that of the host",
                section=self._site.name,
                program=self._program,
            )
            return AS_ROOT
        content, line_ends = message.content, self._settings.line_ends
        if message.envelope.body == "BINARYMIME":
            content, line_ends = await self._site.in_thread(final.as_text, message, line_ends)
        source = await self._site.in_thread(content.open)
        head = final.final_header(message, recipient) if self._settings.headers else b""
        run = _Run(self._site, head, source, line_ends)
        command = [*self._before, *arguments]
        try:
            self._site.reactor.spawnProcess(
                run,
                command[0],
                [os.fsencode(argument) for argument in command],
                self._environment(message, recipient),
                None if self._settings.folder is None else str(self._settings.folder),
                *((self._user.pw_uid, self._user.pw_gid) if self._user else ()),
            )
        except BaseException:
            source.close()
            raise
        limit = self._site.reactor.callLater(self._settings.time_limit, run.stop)
        try:
            return await run.done
        finally:
            if limit.active():
                limit.cancel()

    def _arguments(self, message: Message, route: Route, recipient: Recipient) -> list[str] | None:
        """The program and its arguments; None if a value must not be given to it."""
        sender = recipient.sender or message.envelope.sender
        mailbox = route.mailbox or recipient.address
        values = {
            "sender": self._settings.null_sender if sender is None else str(sender),
            "recipient": str(recipient.address),
            "user": mailbox.local,
            "domain": mailbox.domain,
            "tag": route.tag,
            "id": message.id,
        }
        if any(_CONTROL.search(value) for value in values.values()):
            return None
        filled: list[str] = []
        guarded = not self._settings.allow_hyphen
        for template in self._settings.command:
            argument = _PLACEHOLDER.sub(lambda match: values[match.group(1)], template)
            if guarded and argument.startswith("-") and not template.startswith("-"):
                return None
            guarded = guarded and template != "--"
            filled.append(argument)
        return filled

    def _environment(self, message: Message, recipient: Recipient) -> dict[str, str]:
        sender = recipient.sender or message.envelope.sender
        own = {}
        if self._user:
            name = self._user.pw_name
            own = {"HOME": self._user.pw_dir, "USER": name, "LOGNAME": name}
        return {
            **_ENVIRONMENT,
            **own,
            **self._settings.environment,
            "SENDER": self._settings.null_sender if sender is None else str(sender),
            "RECIPIENT": str(recipient.address),
            "ORIGINAL_RECIPIENT": str(recipient.original),
            "MAIL_ID": message.id,
        }


@implementer(IPullProducer)
class _Run(ProcessProtocol):
    """One run of the program: it is fed as fast as it reads, and ended if it takes too long."""

    _log = Logger()
    transport: Any = None

    def __init__(self, site: Site, head: bytes, source: BinaryIO, line_ends: LineEnds) -> None:
        self._site = site
        self._head = head
        self._source: BinaryIO | None = source
        self._ender = LineEnder(line_ends)
        self._output = {1: b"", 2: b""}
        self._broken: OSError | None = None
        self._reason: Any = None
        self._kill: IDelayedCall | None = None
        self._last_words: IDelayedCall | None = None
        self.done: Deferred[Reply] = Deferred(lambda _: self.stop())

    def connectionMade(self) -> None:
        self._pid: int = self.transport.pid
        self._stdin = self.transport.pipes[0]
        self._stdin.registerProducer(self, streaming=False)

    def resumeProducing(self) -> None:
        """The program has read everything it was given."""
        if self._source is not None:
            reading = self._site.in_thread(self._source.read, CHUNK)
            reading.addCallbacks(self._feed, self._unreadable)

    def _feed(self, octets: bytes) -> None:
        if self._source is None:
            return
        head, self._head = self._head, b""
        ready = self._ender.feed(head + octets)
        if not octets:
            self._stdin.write(ready + self._ender.finish())
            self._stop_feeding()
            self.transport.closeStdin()
        elif ready:
            self._stdin.write(ready)
        else:  # a lone CR: the octet after it comes first
            self.resumeProducing()

    def _unreadable(self, failure: Failure) -> None:
        if self._source is None:
            return  # the program has stopped reading, and the content was closed
        self._log.failure("the content of a message cannot be read", failure=failure)
        self._broken = OSError("the content cannot be read")
        self._stop_feeding()
        self.stop()

    def stopProducing(self) -> None:
        """The program reads no more; its exit status will say whether that is all right."""
        self._stop_feeding()

    def _stop_feeding(self) -> None:
        source, self._source = self._source, None
        if source is not None:
            self._stdin.unregisterProducer()
            self._site.in_thread(source.close).addErrback(self._closed_badly)

    def _closed_badly(self, failure: Failure) -> None:
        self._log.failure("the content of a message cannot be closed", failure=failure)

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        kept = self._output[childFD]
        self._output[childFD] = kept + data[: MAX_OUTPUT - len(kept)]

    def childConnectionLost(self, childFD: int) -> None:
        if childFD == 0:
            self._stop_feeding()

    def processExited(self, reason: Failure) -> None:
        """It has ended.

        Processes that it left behind may hold its pipes, so the wait for them is short.
        """
        self._stop_feeding()
        self._reason = reason
        if self._kill is not None and self._kill.active():
            self._kill.cancel()
            self._signal(signal.SIGKILL)  # processes that it left behind
        self._last_words = self._site.reactor.callLater(LAST_WORDS, self._finish)

    def processEnded(self, reason: Failure) -> None:
        if self._last_words is not None and self._last_words.active():
            self._last_words.cancel()
            self._finish()

    def _finish(self) -> None:
        self.transport.loseConnection()
        if self.done.called:
            return
        if self._broken is not None:
            self.done.errback(self._broken)
        elif self._kill is not None:
            self.done.callback(TOO_LONG)
        else:
            output = self._output[2].strip() or self._output[1].strip()
            self.done.callback(reply_for(self._reason.value.exitCode, output))

    def stop(self) -> None:
        """End it and its children: by SIGTERM, then by SIGKILL."""
        if self._kill is None and self._reason is None:
            self._signal(signal.SIGTERM)
            self._kill = self._site.reactor.callLater(GRACE, self._signal, signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self._pid, number)
        except ProcessLookupError:
            # It is not (or without setsid never) the leader of its own group.
            if self.transport.pid is not None:
                os.kill(self._pid, number)


def reply_for(code: int | None, output: bytes) -> Reply:
    """The reply for an exit status (None: ended by a signal), with the program's first words.

    They may begin with an enhanced status of the same class, which replaces ours.
    """
    reply = DELIVERED if code == 0 else SYSEXITS.get(code or 0, UNKNOWN)
    words = output.split(b"\n", 1)[0].decode("utf-8", "replace")
    words = "".join(letter if " " <= letter <= "~" else "?" for letter in words.strip())
    status = reply.status
    match = _STATUS.fullmatch(words)
    if match is not None and match[1][0] == str(reply.code)[0]:
        status, words = match[1], match[2]
    text = f"{reply.text}: {words[:MAX_WORDS]}" if words and not reply.positive else reply.text
    return Reply(reply.code, text, status)


def _checked(settings: Settings) -> int:
    """The concurrency, after a check of all settings. Raises SettingError."""
    if not settings.command or not settings.command[0].startswith("/"):
        raise SettingError("command", "the absolute path of a program is wanted first")
    program = settings.command[0]
    if not os.path.isfile(program) or not os.access(program, os.X_OK):
        raise SettingError("command", f"{program} is not a program that can be run")
    for argument in settings.command:
        unknown = set(_PLACEHOLDER.findall(argument)) - _PLACEHOLDERS
        if unknown or "\0" in argument:
            known = ", ".join(sorted(_PLACEHOLDERS))
            raise SettingError("command", f"{argument!r}: the placeholders are {known}")
    if settings.folder is not None and not settings.folder.is_dir():
        raise SettingError("folder", f"{settings.folder} is not a folder")
    for key in ("concurrency", "time_limit"):
        if getattr(settings, key) <= 0:
            raise SettingError(key, "more than 0 is wanted")
    return settings.concurrency


def _user(name: str | None) -> pwd.struct_passwd | None:
    try:
        found = None if name is None else pwd.getpwnam(name)
    except KeyError:
        raise SettingError("user", f"there is no user {name!r} on this machine") from None
    if found is not None and found.pw_uid == 0:
        raise SettingError("user", f"{name!r} is root, and programs are never run as root")
    return found


plugin = Plugin("pipe", IDeliveryAgent, Settings, Pipe)
