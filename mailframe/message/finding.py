"""What filters find, and what they want done about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..smtp.address import Mailbox


@dataclass(frozen=True, slots=True)
class AuthResult:
    """One result of authenticating a message, as RFC 8601 section 2.2 writes it.

    `method` is "spf", "dkim", "dmarc", "arc", "iprev", "auth", …; `result` one of that method's
    words ("pass", "fail", "temperror", …); `reason` a text for people, "" for none;
    `properties` are by ptype and property: {"smtp.mailfrom": "example.org"}. A message may have
    several of one method, as of each DKIM signature.
    """

    method: str
    result: str
    reason: str = ""
    properties: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Without:
    """Header fields of the client's that are to be taken away.

    `name` in any case; `instances` counts the fields of that name from the top, beginning with
    0; empty: all of them. Fields that this host puts on top are not touched.
    """

    name: str
    instances: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """What a filter found: facts first, and what is to be done if it is to judge as well.

    `signals` and `results` are facts, for policy to judge. `headers` are put on top: unfolded or
    folded "Name: value" texts without the final line end. `without` are fields that the message
    loses.

    `redirect` has other addresses take the recipients' place: at the recipient stage this one's,
    at the others' that of all. `hold` keeps the message in the queue until an operator releases
    it, `quarantine` does and says that it is suspected; both are reasons in a few words. With
    `discard` the client reads 250 and the message is gone.
    """

    signals: Mapping[str, str] = field(default_factory=dict)
    headers: tuple[str, ...] = ()
    results: tuple[AuthResult, ...] = ()
    without: tuple[Without, ...] = ()
    redirect: tuple[Mailbox, ...] = ()
    hold: str = ""
    quarantine: str = ""
    discard: bool = False
