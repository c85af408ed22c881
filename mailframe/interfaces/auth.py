"""`[[auth]]`: who may log in.

A plugin provides one or more of these interfaces. A listener offers the mechanisms that its
plugins together can serve:

| interface | mechanisms |
|---|---|
| `twisted.cred.checkers.ICredentialsChecker` for `IUsernamePassword` | PLAIN, LOGIN |
| `IStoredKeys` | SCRAM-SHA-256, and in TLS SCRAM-SHA-256-PLUS |
| `ITokenChecker` | OAUTHBEARER, XOAUTH2 |
| `ICertificateChecker` | EXTERNAL, for clients that showed a certificate |

The questions and answers are values of `mailframe.sasl`. The first plugin that says yes decides.
None means that this plugin does not accept the login. A fault is a temporary failure, unless
another plugin says yes.
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
    """Stores the keys that SCRAM needs in place of passwords (`mailframe.sasl.StoredKeys`)."""

    def keeps_keys() -> bool:
        """True if SCRAM can be offered now. Asked at every hello; must answer at once."""

    def stored_keys(wanted: KeysWanted) -> Eventual[KeysFound | None]:
        """The keys stored for that name; None if the user is unknown or has no keys.

        The answer does not log anybody in: the client has yet to prove that it knows the password.
        The time that it takes should not reveal which users exist.
        """


class ITokenChecker(Interface):
    """Knows which user an OAuth 2.0 access token belongs to (RFC 6750)."""

    def check_token(wanted: TokenWanted) -> Eventual[Identity | TokenRefused | None]:
        """The identity that the token belongs to.

        TokenRefused says why the token is refused; the client reads it if no other plugin says yes.
        If the name that the client gives (`wanted.name`) is not exactly the user's, the login is
        refused. A plugin that accepts it all the same puts it into `acts_as`.
        """


class ICertificateChecker(Interface):
    """Knows which user a client's TLS certificate belongs to."""

    def check_certificate(
        wanted: CertificateWanted, certificate: bytes
    ) -> Eventual[Identity | None]:
        """The identity that it belongs to.

        `certificate` is in DER, and was issued by an authority that the listener trusts.
        """


class IUserStore(Interface):
    """An auth plugin whose users `mailframe user` can list and change. These methods block."""

    def names() -> Sequence[str]:
        """All users, sorted."""

    def set_password(name: str, password: str, create: bool) -> None:
        """Store it durably.

        KeyError with `create` if the user exists, and without `create` if there is no such user.
        ValueError if the name or the password is not valid.
        """

    def remove(name: str) -> None:
        """Remove the user durably. KeyError if there is no such user."""

    def test(name: str, password: str) -> bool:
        """True if this user can log in with this password."""
