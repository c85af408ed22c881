"""The steps of an exchange on the server's side, and the answers that they want."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

from .stored_keys import StoredKeys

MAX_RESPONSE = 12288  # octets, decoded; a token is the longest message


@dataclass(frozen=True, slots=True)
class Challenge:
    """Octets for the client, not yet in base64; b"" asks for an initial response."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class PasswordWanted:
    """Is this the password of `name`? Answered with an Identity, or None for no.

    Both are as the client sent them, 1 to 255 octets in UTF-8. `authzid` is the user that the
    client wants to act for, "" for itself; see Identity.
    """

    name: str
    password: str = field(repr=False)
    authzid: str = ""


@dataclass(frozen=True, slots=True)
class KeysWanted:
    """Which keys are stored for `name`? Answered with KeysFound, or None if there are none.

    `name` has been through SASLprep. `mechanism` is "SCRAM-SHA-256", also for its -PLUS.
    """

    name: str
    mechanism: str
    authzid: str = ""


@dataclass(frozen=True, slots=True)
class TokenWanted:
    """Which user does this token belong to? Answered with an Identity, a TokenRefused, or None for
    no.

    `name` is the user that the client claims to be, "" if it does not say. `host` and `port` are
    the server that it thinks it is connected to, "" and None if it does not say (RFC 7628 section
    3.1).
    """

    mechanism: str
    token: str = field(repr=False)
    name: str = ""
    host: str = ""
    port: int | None = None


@dataclass(frozen=True, slots=True)
class CertificateWanted:
    """Which user does the client's certificate belong to? Answered with an Identity, or None for
    no.

    `authzid` is the user that the client wants to act for; "" is the one that the certificate
    names.
    """

    authzid: str


@dataclass(frozen=True, slots=True)
class Identity:
    """The user that the client is, by its name as the host spells it.

    A client that wants to act for another user is refused unless `acts_as` is that user, again as
    the host spells the name. The same applies to a client with a token or a certificate that gives
    a name which differs from the user's in any letter; if it is the same person, `acts_as` is the
    user's own name.
    """

    user: str
    acts_as: str = ""


@dataclass(frozen=True, slots=True)
class KeysFound:
    """The stored keys, and the identity of the client if it proves that it knows the password."""

    identity: Identity
    keys: StoredKeys


@dataclass(frozen=True, slots=True)
class TokenRefused:
    """Why a token is not good enough; the client reads this (RFC 7628 section 3.2.2).

    `status` is a word of RFC 6750 section 3.1, `scope` what a token must be good for,
    `configuration` the URL of the OpenID configuration. If one is "", the client is told nothing of
    it.
    """

    status: str = "invalid_token"
    scope: str = ""
    configuration: str = ""


@dataclass(frozen=True, slots=True)
class Success:
    """The client is `user` and acts for `authzid`, "" for itself.

    `data` goes to the client with the success if the protocol can carry it
    (`ServerTerms.success_data`); else it is None.
    """

    user: str
    authzid: str = ""
    data: bytes | None = field(default=None, repr=False)


class Reason(Enum):
    """Why an exchange ends without success."""

    MALFORMED = "malformed"  # not a message of the mechanism; SMTP says 501
    REFUSED = "refused"  # a correct message that logs nobody in; SMTP says 535
    LATER = "later"  # not checked, because too many logins have failed before; SMTP says 454


@dataclass(frozen=True, slots=True)
class Refusal:
    """The client is not logged in.

    `detail` is for the log: constant, without what the client said.
    """

    reason: Reason
    detail: str


Question: TypeAlias = PasswordWanted | KeysWanted | TokenWanted | CertificateWanted
Answer: TypeAlias = Identity | KeysFound | TokenRefused | None
Step: TypeAlias = Challenge | Question | Success | Refusal

REFUSED = Refusal(Reason.REFUSED, "the credentials are not good")
MALFORMED = Refusal(Reason.MALFORMED, "this is no response of the mechanism")
