"""FLOOR 2: what travels through the house. Frozen values, all of them serialisable.

Client, Envelope, Recipient, Content, Message, Route, Redirect, Outcome, Entry, Event.
Nobody changes a value; its owner replaces it (`dataclasses.replace`).
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from os import urandom
from typing import Any, BinaryIO, Literal

from .smtp.address import Mailbox
from .smtp.command import Body, Ret
from .smtp.reply import Reply


@dataclass(frozen=True, slots=True)
class Tls:
    """The TLS layer of a session: "TLSv1.3", the cipher's name, the name asked by SNI."""

    version: str
    cipher: str
    server_name: str = ""


@dataclass(frozen=True, slots=True)
class Client:
    """Who speaks to us: one session's facts so far.

    `address` and `local_address` are IP addresses as text ("unix" for a unix socket);
    `listener` the name of its `[[listen]]`; `hello` the name it gave, "" before; `protocol`
    the "with" keyword of RFC 3848 (SMTP, ESMTP, ESMTPSA, LMTP, …); `user` who is
    authenticated, None for nobody; `signals` what filters found at connect and hello.
    """

    address: str
    port: int = 0
    listener: str = ""
    local_address: str = ""
    local_port: int = 0
    session: str = ""
    hello: str = ""
    protocol: str = "SMTP"
    tls: Tls | None = None
    user: str | None = None
    signals: Mapping[str, str] = field(default_factory=dict)

    def greeted(self, hello: str, protocol: str, signals: Mapping[str, str]) -> Client:
        """The same after it said hello."""
        return Client(
            self.address,
            self.port,
            self.listener,
            self.local_address,
            self.local_port,
            self.session,
            hello,
            protocol,
            self.tls,
            self.user,
            signals,
        )


@dataclass(frozen=True, slots=True)
class Recipient:
    """One recipient of a mail transaction, with what RFC 3461 says of it.

    `notify` None where the client gave none, else of "NEVER", "SUCCESS", "FAILURE",
    "DELAY". `orcpt` is "addr-type;address" decoded. `came_from` are the addresses that
    redirected to this one, the client's own spelling first. `sender` is a reverse-path of
    its own (a list's owner), None for the envelope's.
    """

    address: Mailbox
    notify: frozenset[str] | None = None
    orcpt: str | None = None
    came_from: tuple[Mailbox, ...] = ()
    sender: Mailbox | None = None

    def __hash__(self) -> int:
        """Of the address alone: the rest seldom tells two of one message apart."""
        return hash(self.address)

    @property
    def original(self) -> Mailbox:
        """The address that the client gave."""
        return self.came_from[0] if self.came_from else self.address


@dataclass(frozen=True, slots=True)
class Envelope:
    """One mail transaction (RFC 5321 section 3.3). `sender` None is the null reverse-path.

    `id` names the message from MAIL to its last delivery. `size` is what the client
    declared, octets or None. `auth` is the AUTH= parameter. `received` is seconds since
    the epoch. `signals` are facts that filters found ("spf": "fail"), for policy to judge.
    """

    id: str
    client: Client
    sender: Mailbox | None
    recipients: tuple[Recipient, ...] = ()
    size: int | None = None
    body: Body = "7BIT"
    smtputf8: bool = False
    ret: Ret | None = None
    envid: str | None = None
    auth: str | None = None
    received: float = 0.0
    signals: Mapping[str, str] = field(default_factory=dict)

    def to(self, recipient: Recipient) -> Envelope:
        """The same with one more recipient."""
        return Envelope(
            self.id,
            self.client,
            self.sender,
            (*self.recipients, recipient),
            self.size,
            self.body,
            self.smtputf8,
            self.ret,
            self.envid,
            self.auth,
            self.received,
            self.signals,
        )


@dataclass(frozen=True, slots=True)
class Content:
    """A message's octets: `prefix` is what we put on top, the body as it came, untouched.

    `prefix` holds whole header lines ended by CRLF (Received:, what filters added). `body`
    is the client's octets where they are at hand in memory, else what opens them for
    reading from the start; the opener may block (a file, a database, a remote store): call
    it and read what it gives in a thread. `body_size` is octets.
    """

    prefix: bytes
    body: bytes | Callable[[], BinaryIO]
    body_size: int

    @property
    def size(self) -> int:
        """Octets in all."""
        return len(self.prefix) + self.body_size

    @property
    def at_hand(self) -> bytes | None:
        """All octets where nothing must be opened, else None."""
        return self.prefix + self.body if isinstance(self.body, bytes) else None

    def open(self) -> BinaryIO:
        """All octets as a file to be read and closed. OSError where the store cannot."""
        if isinstance(self.body, bytes):
            return io.BytesIO(self.prefix + self.body)
        return _Joined(self.prefix, self.body())


class _Joined(io.RawIOBase, BinaryIO):
    """The prefix, then the file; for reading forwards only."""

    def __init__(self, prefix: bytes, rest: BinaryIO) -> None:
        super().__init__()
        self._prefix = memoryview(prefix)
        self._rest = rest

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        if size is None or size < 0:
            head, self._prefix = bytes(self._prefix), self._prefix[:0]
            return head + self._rest.read()
        if self._prefix:
            head, self._prefix = bytes(self._prefix[:size]), self._prefix[size:]
            return head
        return self._rest.read(size)

    def readinto(self, buffer: Any, /) -> int:
        octets = self.read(len(buffer))
        buffer[: len(octets)] = octets
        return len(octets)

    def close(self) -> None:
        self._rest.close()
        super().close()


@dataclass(frozen=True, slots=True)
class Message:
    """What a delivery agent is given: the envelope and the octets."""

    id: str
    envelope: Envelope
    content: Content


@dataclass(frozen=True, slots=True)
class Finding:
    """What a filter found, without judging it: signals, and header fields to put on top.

    `headers` are unfolded or folded "Name: value" texts without the final line end.
    """

    signals: Mapping[str, str] = field(default_factory=dict)
    headers: tuple[str, ...] = ()


TlsUse = Literal["never", "opportunistic", "require", "verify", "implicit"]


@dataclass(frozen=True, slots=True)
class NextHop:
    """Where a message goes next over SMTP or LMTP.

    `lookup` says what `host` is: "mx" a domain whose exchanges are asked, "host" a name
    or address literal to dial itself, "unix" the path of a socket. `port` None is the
    agent's. `tls`: "opportunistic" takes what is offered, "require" wants TLS of any
    certificate, "verify" a certificate that names the host, "implicit" is TLS from the
    first octet, verified. `private` allows loopback and private addresses.
    """

    host: str
    lookup: Literal["mx", "host", "unix"] = "mx"
    port: int | None = None
    tls: TlsUse = "opportunistic"
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    private: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """Where one recipient's copy goes: an agent (`[deliver.NAME]`), and what it needs.

    A local mailbox has `mailbox` (with the tag taken off; `tag` is that, without the
    separator); what is passed on has `next_hop`. `recipient` is filled in by the hooks.
    Recipients with one agent and one next hop share a transaction.
    """

    agent: str
    recipient: Recipient | None = None
    mailbox: Mailbox | None = None
    tag: str = ""
    next_hop: NextHop | None = None

    def of(self, recipient: Recipient) -> Route:
        """The same for this recipient."""
        return Route(self.agent, recipient, self.mailbox, self.tag, self.next_hop)


@dataclass(frozen=True, slots=True)
class Redirect:
    """The recipient stands for these others (alias, list, catch-all), which are routed anew.

    `sender` is the reverse-path that their copies get (a list's owner), None for the same.
    """

    addresses: tuple[Mailbox, ...]
    sender: Mailbox | None = None


class Status(Enum):
    """What became of one recipient (RFC 3464 section 2.3.3 names the actions)."""

    DELIVERED = "delivered"  # in the mailbox
    RELAYED = "relayed"  # taken by a host that does not speak DSN
    PASSED_ON = "passed on"  # taken by a host that reports for itself (RFC 3461)
    EXPANDED = "expanded"  # stands for others now
    DEFERRED = "delayed"  # tried again later
    FAILED = "failed"  # for good; becomes a report


@dataclass(frozen=True, slots=True)
class Outcome:
    """A delivery agent's answer for one recipient.

    `reply` is the remote host's words or the agent's own; `remote` the host that spoke,
    "" for none. `retry_after`: seconds, the least wait the agent asks for, or None. `facts`
    are what else the trace should show ("tls": "TLSv1.3 …"); they do not make it another one.
    """

    recipient: Recipient
    status: Status
    reply: Reply
    remote: str = ""
    retry_after: float | None = None
    facts: Mapping[str, str] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class Pending:
    """One recipient still waiting in the queue.

    `due` and `first` are seconds since the epoch; `attempts` counts finished attempts;
    `last` is the last outcome's reply, `remote` who gave it; `warned` is True once the
    sender has been told of the delay.
    """

    recipient: Recipient
    due: float
    attempts: int = 0
    last: Reply | None = None
    remote: str = ""
    warned: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """A message in the queue with the recipients that still wait.

    `created` is when its 250 was given, seconds since the epoch. `leased` is True while a
    host works on it. `hold` keeps it from being claimed until released.
    """

    message: Message
    pending: tuple[Pending, ...]
    created: float
    hold: bool = False
    leased: bool = False

    @property
    def id(self) -> str:
        """The message's name."""
        return self.message.id


@dataclass(frozen=True, slots=True)
class Event:
    """One decision, for observers: who decided what about which message, and how fast.

    `stage` is the hook's or the room's word ("relay", "route", "queue", "deliver", …),
    `plugin` its name or "", `verdict` a short word or reply, `milliseconds` what the asking
    took. `id` is the message's, "" before MAIL; `session` the session's, "" in the queue.
    `facts` are further fields for the log (sender, recipient, client, …).
    """

    time: float
    stage: str
    verdict: str
    plugin: str = ""
    id: str = ""
    session: str = ""
    milliseconds: float = 0.0
    facts: Mapping[str, object] = field(default_factory=dict)


_ALPHABET = "0123456789BCDFGHJKLMNPQRSTVWXYZ"  # no vowels: no words
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]


def new_id(now: float | None = None) -> str:
    """A new name for a message or session: it sorts by time and is never used again.

    Eleven characters of microseconds and five of chance, from 31 unambiguous capitals and
    digits; safe in file names, headers and logs. `now` is seconds since the epoch.
    """
    ticks = int((time.time() if now is None else now) * 1e6)
    head, tail = divmod(ticks % 31**11, 31**4)
    first, second = divmod(tail, 31**2)
    third, rest = divmod(int.from_bytes(urandom(8), "big") % 31**5, 31**3)
    fourth, last = divmod(rest, 31)
    tail_letters = _PAIRS[first] + _PAIRS[second] + _PAIRS[third] + _PAIRS[fourth]
    return _head(head) + tail_letters + _ALPHABET[last]


@lru_cache(maxsize=4)
def _head(number: int) -> str:
    """The seven letters that change once in a second."""
    letters = []
    for _ in range(7):
        number, rest = divmod(number, 31)
        letters.append(_ALPHABET[rest])
    return "".join(reversed(letters))
