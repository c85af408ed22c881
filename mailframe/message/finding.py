"""What a filter finds out about a message, and what it wants done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..smtp.address import Mailbox


@dataclass(frozen=True, slots=True)
class AuthResult:
    """One result of authenticating a message, as RFC 8601 section 2.2 writes it.

    `method` is "spf", "dkim", "dmarc", "arc", "iprev", "auth" and so on. `result` is one of that
    method's words ("pass", "fail", "temperror", …). `reason` is a text for people, "" for none.
    `properties` are by ptype and property: {"smtp.mailfrom": "example.org"}. A message may have
    several results of one method, for example one for each DKIM signature.
    """

    method: str
    result: str
    reason: str = ""
    properties: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Without:
    """Header fields that the client sent and that are to be removed.

    `name` may be in any case. `instances` are numbers of the fields with that name, counted from
    the top and beginning with 0; if it is empty, all of them go. Fields that this host adds are
    kept.
    """

    name: str
    instances: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """What a filter found: facts and, if it wants something done, what that is.

    `signals` and `results` are facts for later plugins to judge. `headers` are put on top: "Name:
    value" texts, folded or not, without the final line end. `without` are fields to be removed.

    `redirect` are addresses that replace recipients: at the recipient stage that one recipient, at
    the other stages all of them. `hold` keeps the message in the queue until an operator releases
    it. `quarantine` does the same and marks it as suspicious. Both are reasons in a few words. With
    `discard` the client reads 250 and the message is dropped.
    """

    signals: Mapping[str, str] = field(default_factory=dict)
    headers: tuple[str, ...] = ()
    results: tuple[AuthResult, ...] = ()
    without: tuple[Without, ...] = ()
    redirect: tuple[Mailbox, ...] = ()
    hold: str = ""
    quarantine: str = ""
    discard: bool = False
