"""`[[auth]]`: who may log in.

A plugin provides one or several of these; a listener offers the mechanisms that its plugins can
serve together:

| interface | mechanisms |
|---|---|
| `twisted.cred.checkers.ICredentialsChecker` for `IUsernamePassword` | PLAIN, LOGIN |
| `IStoredKeys` | SCRAM-SHA-256, and in TLS SCRAM-SHA-256-PLUS |
| `ITokenChecker` | OAUTHBEARER, XOAUTH2 |
| `ICertificateChecker` | EXTERNAL, for clients that showed a certificate |

The questions and answers are values of `mailframe.sasl`. The first plugin that says yes decides.
None is "not by me". A fault is a temporary failure if nobody else says yes.
"""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface import Interface

from ..eventual import Eventual
from ..sasl import (
    CertificateWanted,
    Identity,
    KeysFound,
    KeysWanted,
    TokenRefused,
    TokenWanted,
)


class IStoredKeys(Interface):
    """Keeps what SCRAM needs of its users' passwords (`mailframe.sasl.StoredKeys`)."""

    def keeps_keys() -> bool:
        """True if SCRAM can be offered now. Asked at every hello; answers at once."""

    def stored_keys(wanted: KeysWanted) -> Eventual[KeysFound | None]:
        """What is kept for that name; None for a user that is unknown or has no keys.

        Nobody is logged in by it: the client has yet to prove that it knows the password. The
        time it takes should not tell which users there are.
        """


class ITokenChecker(Interface):
    """Knows whose an OAuth 2.0 access token is (RFC 6750)."""

    def check_token(wanted: TokenWanted) -> Eventual[Identity | TokenRefused | None]:
        """Whose it is.

        TokenRefused says why it does not do, which the client reads if no other plugin says yes.
        Whoever takes any name that the client gives (`wanted.name`) says so by `acts_as`; by
        itself a name that is not letter by letter the user's is refused.
        """


class ICertificateChecker(Interface):
    """Knows whose a client's TLS certificate is."""

    def check_certificate(
        wanted: CertificateWanted, certificate: bytes
    ) -> Eventual[Identity | None]:
        """Whose it is. `certificate` is in DER, and of an authority that the listener trusts."""


class IUserStore(Interface):
    """An auth plugin whose users `mailframe user` can list and change. These methods block."""

    def names() -> Sequence[str]:
        """All users, sorted."""

    def set_password(name: str, password: str, create: bool) -> None:
        """Durably. KeyError for a user that is there (`create`) or is not (otherwise);
        ValueError for a name or password that cannot be."""

    def remove(name: str) -> None:
        """Durably. KeyError where there is none."""

    def test(name: str, password: str) -> bool:
        """Whether this password lets this user in."""
