"""The steps of an exchange as the server takes them, and the answers that they want."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

from .stored_keys import StoredKeys

MAX_RESPONSE = 12288  # octets, decoded; a token is the longest thing that is said


@dataclass(frozen=True, slots=True)
class Challenge:
    """Octets for the client, not yet in base64; b"" asks for an initial response."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class PasswordWanted:
    """Is this the password of `name`? Answered with an Identity, or None: no.

    Both as the client said them, 1 to 255 octets in UTF-8. `authzid` is whom the client
    wants to act for, "" for itself; see Identity.
    """

    name: str
    password: str = field(repr=False)
    authzid: str = ""


@dataclass(frozen=True, slots=True)
class KeysWanted:
    """What is kept for `name` and SCRAM? Answered with KeysFound, or None: nothing.

    `name` went through SASLprep; `mechanism` is "SCRAM-SHA-256", also for its -PLUS.
    """

    name: str
    mechanism: str
    authzid: str = ""


@dataclass(frozen=True, slots=True)
class TokenWanted:
    """Whose is this token? Answered with an Identity, a TokenRefused, or None: refused.

    `name` is who the client says it is, "" if it does not say. `host` and `port` are where it
    thinks it has connected, "" and None if it does not say (RFC 7628 section 3.1).
    """

    mechanism: str
    token: str = field(repr=False)
    name: str = ""
    host: str = ""
    port: int | None = None


@dataclass(frozen=True, slots=True)
class CertificateWanted:
    """Whose is the certificate that the client showed? Answered with an Identity, or None.

    `authzid` is whom the client wants to act for; "": whoever the certificate names.
    """

    authzid: str


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the client is: the user's name as the host spells it.

    A client that asks to act for another (or, with a token or a certificate, gives a name that
    is not letter by letter the user's) is refused unless `acts_as` says for whom it does,
    again as the host spells it; the user's own name if it is the same person.
    """

    user: str
    acts_as: str = ""


@dataclass(frozen=True, slots=True)
class KeysFound:
    """The keys that are kept, and who has proved to be whom if the client knows the password."""

    identity: Identity
    keys: StoredKeys


@dataclass(frozen=True, slots=True)
class TokenRefused:
    """Why a token does not do, for the client's eyes (RFC 7628 section 3.2.2).

    `status` is a word of RFC 6750 section 3.1, `scope` what a token must be good for,
    `configuration` the URL of the OpenID configuration; "" says nothing of it.
    """

    status: str = "invalid_token"
    scope: str = ""
    configuration: str = ""


@dataclass(frozen=True, slots=True)
class Success:
    """The client is `user` and acts for `authzid`, "" for itself.

    `data` goes to the client with the success, if `ServerTerms.success_data` says that the
    protocol can carry it; else None.
    """

    user: str
    authzid: str = ""
    data: bytes | None = field(default=None, repr=False)


class Reason(Enum):
    """Why an exchange ends without success."""

    MALFORMED = "malformed"  # no sentence of the mechanism; SMTP says 501
    REFUSED = "refused"  # well said, but nobody is let in by it; SMTP says 535
    LATER = "later"  # not looked at: too many have failed before; SMTP says 454


@dataclass(frozen=True, slots=True)
class Refusal:
    """The client is not let in. `detail` is for a log: constant, without what was said."""

    reason: Reason
    detail: str


Question: TypeAlias = PasswordWanted | KeysWanted | TokenWanted | CertificateWanted
Answer: TypeAlias = Identity | KeysFound | TokenRefused | None
Step: TypeAlias = Challenge | Question | Success | Refusal

REFUSED = Refusal(Reason.REFUSED, "the credentials are not good")
MALFORMED = Refusal(Reason.MALFORMED, "this is no response of the mechanism")
