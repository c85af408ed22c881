"""The events that the host tells observers: stages, their verdicts, and the facts of each.

The host tells no other events. docs/observe.md has the same table, which is generated from this
one. Plugins may tell other verdicts of their own, at the stage of their section.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Literal, TypeAlias

from ..smtp.reply import Reply


class Stage(StrEnum):
    """The stage at which something was decided."""

    SESSION = "session"
    AUTH = "auth"
    RELAY = "relay"
    FILTER = "filter"
    ROUTE = "route"
    RECEPTION = "reception"
    QUEUE = "queue"
    DEPARTURE = "departure"
    TLS_POLICY = "tls_policy"
    DELIVER = "deliver"
    SERVE = "serve"
    OBSERVE = "observe"


#: The names of the stages, as the type of a setting: a wrong one is refused with the nearest.
StageName: TypeAlias = Literal[
    "session",
    "auth",
    "relay",
    "filter",
    "route",
    "reception",
    "queue",
    "departure",
    "tls_policy",
    "deliver",
    "serve",
    "observe",
]


class Verdict(StrEnum):
    """A decision that is not a reply, neither of this host nor of a remote one."""

    CONNECTED = "connected"
    REFUSED = "refused"
    SPOKE_TOO_EARLY = "spoke before the greeting"
    NO_PROXY_HEADER = "no PROXY header"
    TLS = "tls"
    TIMED_OUT = "timed out"
    DISCONNECTED = "disconnected"
    AUTHENTICATED = "authenticated"
    FAULT = "fault"
    FOUND = "found"
    ROUTED = "routed"
    REDIRECTED = "redirected"
    ACCEPTED = "accepted"
    DISCARDED = "discarded"
    ABANDONED = "abandoned"
    REWRITTEN = "rewritten"
    DEFERRED = "deferred"
    FAILED = "failed"
    FINISHED = "finished"
    LEASE_LOST = "lease lost"
    REPORTED = "reported"
    NOT_REPORTED = "not reported"
    DOUBLE_BOUNCE = "double bounce dropped"
    CHANGED = "changed"
    OPPORTUNISTIC = "opportunistic"
    REQUIRE = "require"
    VERIFY = "verify"
    DELIVERED = "delivered"
    RELAYED = "relayed"
    PASSED_ON = "passed on"
    DELAYED = "delayed"
    DROPPED = "dropped"


#: The facts and their meanings. Times are in seconds, sizes in octets.
FACTS: Mapping[str, str] = MappingProxyType(
    {
        "action": "what the report says: failed, delayed, delivered, relayed or expanded",
        "acts_as": "the user for whom the one who logged in acts",
        "addresses": "how many addresses there are; `to` has the first ten",
        "agent": "the `[deliver.NAME]` that takes the message",
        "at": "the plugin's method that was asked",
        "attempts": "how often delivery was tried",
        "becomes": "the message's new id",
        "cause": "the class of the exception, or a few words",
        "certificates": "whether the certificates are judged by the policy as well",
        "cipher": "the cipher suite of TLS",
        "client": "the client's IP address",
        "command": "the SMTP command that was refused, or that ended a transaction",
        "content": '"replaced", if other octets leave',
        "discard": "whether the filter wants the message gone",
        "domain": "the next hop's domain",
        "dropped": "how many events could not be kept",
        "due": "when the next attempt is, in seconds since the epoch",
        "exchange": "the host that was to be dialled",
        "headers": "how many header fields were put on top",
        "held": "why the message is held in the queue",
        "hello": "the name in the client's HELO, EHLO or LHLO",
        "hold": "why the filter wants the message held",
        "listener": "the `[[listen]]` by its name",
        "mechanism": "the SASL mechanism",
        "next_hop": "the host or domain that the message goes to next",
        "policy": "the TLS policy by its name",
        "protocol": "the keyword of RFC 3848: SMTP, ESMTPSA, LMTP, …",
        "quarantine": "why the filter suspects the message",
        "recipient": "the recipient's address",
        "recipients": "the recipients' addresses",
        "redirect": "the addresses that take the recipients' place",
        "reference": "what the client reads, and the log has the cause of",
        "remote": "the host that was dealt with",
        "reply": "the words of the remote host, or our own",
        "report": "the id of the report",
        "results": "results of authenticating the message: `spf=pass`, …",
        "sender": "the reverse-path, `<>` for the null one",
        "senders": "how many recipients' copies got another sender",
        "signals": "what filters found, by name",
        "size": "octets of the message",
        "to": "the first ten addresses that it was redirected to",
        "tried": "the exchanges that failed in this attempt, with the words of each",
        "user": "the user who logged in, null or empty for nobody",
        "version": "the version of TLS",
        "why": "the reason, in a few words",
        "without": "header fields that were taken away, by name",
    }
)


@dataclass(frozen=True, slots=True)
class Told:
    """One kind of event: a stage and a verdict, with some of these facts.

    `verdict` None stands for a reply, such as "550 5.7.1 Relaying denied". If `is_open`, a plugin
    may have added facts of its own.
    """

    stage: Stage
    verdict: Verdict | None
    meaning: str
    facts: tuple[str, ...] = ()
    is_open: bool = False


def _rows(stage: Stage, facts: str, rows: Iterable[tuple[Verdict | None, str, str]]) -> list[Told]:
    return [
        Told(stage, verdict, meaning, tuple(f"{facts} {more}".split()))
        for verdict, meaning, more in rows
    ]


_FAULT = (
    Verdict.FAULT,
    "a plugin failed: it raised, took too long, or gave no answer of its kind",
    "reference cause at",
)
_TRANSACTION = "client sender recipient"
_WHOLE = "client listener hello user protocol sender recipients size signals"
_OUTCOME = f"{_TRANSACTION} reply remote tried"

VOCABULARY: tuple[Told, ...] = (
    *_rows(
        Stage.SESSION,
        "client listener",
        [
            (Verdict.CONNECTED, "a client is let in", ""),
            (
                None,
                "a client, a command, or the content is refused in these words",
                "command sender recipient",
            ),
            (Verdict.REFUSED, "a client of a served protocol is not let in", "why"),
            (Verdict.SPOKE_TOO_EARLY, "a client did not wait for the greeting", ""),
            (Verdict.NO_PROXY_HEADER, "a listed proxy did not say for whom it speaks", "why"),
            (Verdict.TLS, "a TLS handshake is done", "version cipher"),
            (Verdict.TIMED_OUT, "a client of a served protocol took too long", ""),
            (Verdict.DISCONNECTED, "the session is over", ""),
        ],
    ),
    *_rows(
        Stage.AUTH,
        "client user mechanism",
        [
            (Verdict.AUTHENTICATED, "a user logged in", "acts_as"),
            (None, "a login failed, in these words", "why"),
            _FAULT,
        ],
    ),
    *_rows(
        Stage.RELAY,
        _TRANSACTION,
        [(None, "a client may send to this recipient (2xx), or may not", ""), _FAULT],
    ),
    *_rows(
        Stage.FILTER,
        f"{_TRANSACTION} at",
        [
            (None, "a filter refused, in these words", ""),
            (
                Verdict.FOUND,
                "a filter found something, or wants something done",
                "signals headers results without redirect hold quarantine discard",
            ),
            _FAULT,
        ],
    ),
    *_rows(
        Stage.ROUTE,
        _TRANSACTION,
        [
            (Verdict.ROUTED, "where the recipient's copy goes is known", "agent next_hop"),
            (Verdict.REDIRECTED, "others take the recipient's place", "to addresses"),
            (None, "there is no way to the recipient, in these words", ""),
            _FAULT,
        ],
    ),
    *_rows(
        Stage.RECEPTION,
        "",
        [
            (
                Verdict.ACCEPTED,
                "the message is durable, and the client reads 250",
                f"{_WHOLE} held",
            ),
            (Verdict.DISCARDED, "the client reads 250, and nothing is kept", _WHOLE),
            (
                Verdict.ABANDONED,
                "the client gave the transaction up, by this command",
                "client sender command",
            ),
            (Verdict.REWRITTEN, "the message lost fields and got another id", "becomes"),
        ],
    ),
    *_rows(
        Stage.QUEUE,
        "",
        [
            (Verdict.ACCEPTED, "a message of the host's own is durable", "sender recipients size"),
            (Verdict.DEFERRED, "a recipient is tried again later", "recipient reply due attempts"),
            (Verdict.FAILED, "a recipient has failed for good", "recipient reply due attempts"),
            (Verdict.FINISHED, "nothing of the message is left to do", ""),
            (Verdict.LEASE_LOST, "another process has the message; it may come twice", ""),
            (Verdict.REPORTED, "the sender is told", "action recipient report"),
            (Verdict.NOT_REPORTED, "the sender did not want to be told", "action recipient report"),
            (
                Verdict.DOUBLE_BOUNCE,
                "a report could not be delivered, and nobody is left to tell",
                "action recipient report",
            ),
        ],
    ),
    *_rows(
        Stage.DEPARTURE,
        "client sender recipients",
        [
            (
                Verdict.CHANGED,
                "a message that leaves was changed",
                "headers senders without content",
            ),
            (None, "a message stays here, in these words", ""),
            _FAULT,
        ],
    ),
    *_rows(
        Stage.TLS_POLICY,
        "domain exchange policy certificates",
        [
            (Verdict.OPPORTUNISTIC, "nothing is demanded of the exchange", ""),
            (Verdict.REQUIRE, "TLS is demanded", ""),
            (Verdict.VERIFY, "TLS with a verified certificate is demanded", ""),
            (None, "the exchange must not be used, in these words", ""),
            _FAULT,
        ],
    ),
    *(
        Told(Stage.DELIVER, verdict, meaning, tuple(_OUTCOME.split()), is_open=True)
        for verdict, meaning in (
            (Verdict.DELIVERED, "the recipient's copy is in the mailbox"),
            (Verdict.RELAYED, "a host without DSN has taken it"),
            (Verdict.PASSED_ON, "a host that reports for itself has taken it"),
            (Verdict.DELAYED, "it could not be delivered this time"),
            (Verdict.FAILED, "it cannot be delivered"),
        )
    ),
    *_rows(Stage.DELIVER, "client sender", [_FAULT]),
    *_rows(
        Stage.SERVE,
        "client listener",
        [
            (
                Verdict.FAULT,
                "a served protocol failed, its connection is closed",
                "reference cause",
            )
        ],
    ),
    *_rows(Stage.OBSERVE, "", [(Verdict.DROPPED, "an observer could not keep up", "dropped")]),
)

_BY_NAME = {
    (row.stage.value, row.verdict.value if row.verdict else None): row for row in VOCABULARY
}
_REPLY = re.compile(r"[2-5]\d\d(?: |$)")


def row_of(stage: str, verdict: str) -> Told | None:
    """The row of such an event; None if it is not one of the host's."""
    return _BY_NAME.get((stage, verdict)) or (
        _BY_NAME.get((stage, None)) if _REPLY.match(verdict) else None
    )


def complaint(stage: str, verdict: str, facts: Iterable[str]) -> str:
    """What is wrong with an event of the host, "" if the table has it."""
    row = row_of(stage, verdict)
    if row is None:
        return f"no {verdict!r} is told at {stage!r}"
    unknown = set() if row.is_open else set(facts) - set(row.facts)
    return f"{stage!r}: {verdict!r} has no facts {sorted(unknown)}" if unknown else ""


def verdict_text(verdict: str | Reply) -> str:
    """The verdict as observers see it."""
    return verdict if isinstance(verdict, str) else str(verdict)
