"""Contract tests for `[[auth]]` plugins that know keys, tokens or certificates.

They are used as those of `plugins`: each is a mixin for a TestCase, whose `make` builds the plugin.
"""

from __future__ import annotations

from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from twisted.cred.error import Unauthorized

from ..hooks import answers
from ..interfaces import ICertificateChecker, IStoredKeys, ITokenChecker
from ..sasl import CertificateWanted, Identity, KeysWanted, TokenRefused, TokenWanted
from .certificates import Issued, make_authority
from .contract import Contract

#: Names that a client may send, for which a plugin must not fail.
ODD_NAMES = (
    "nobody",
    "../../etc/passwd",
    "a b",
    "' OR '1'='1",
    "*)(uid=*",
    "müller",
    "\u202ealice",
    "x" * 255,
    "#",
    ":",
)


class StoredKeysContract(Contract):
    """`good` is a name and a password whose keys the plugin has, in any spelling it accepts."""

    interface = IStoredKeys
    good: tuple[str, str]

    def ask(self, plugin: Any, name: str) -> Any:
        """The plugin's answer for that name."""
        return self.wait(plugin.stored_keys(KeysWanted(name, "SCRAM-SHA-256")))

    def test_it_has_the_keys_of_its_users(self) -> None:
        """The keys match the password, and the plugin offers SCRAM."""
        plugin = self.make()
        name, password = self.good
        found = self.ask(plugin, name)
        assert answers.is_keys_found(found), found
        assert found.keys.matches(password)
        assert not found.keys.matches(password + "x")
        assert plugin.keeps_keys() is True

    def test_it_has_none_of_anybody_else(self) -> None:
        """No odd name raises an exception, or is found to be a user."""
        plugin = self.make()
        for name in ODD_NAMES:
            assert self.ask(plugin, name) is None, name


class TokenCheckerContract(Contract):
    """`good` is a token, and the user that it belongs to."""

    interface = ITokenChecker
    good: tuple[str, str]

    def ask(self, plugin: Any, token: str, name: str = "") -> Any:
        """The plugin's answer for the token."""
        try:
            return self.wait(plugin.check_token(TokenWanted("OAUTHBEARER", token, name)))
        except Unauthorized:
            return None

    def test_it_knows_whose_a_token_is(self) -> None:
        """Whether the client gives the user's name or not."""
        plugin = self.make()
        token, user = self.good
        for name in ("", user):
            found = self.ask(plugin, token, name)
            assert answers.is_identity(found) and found.user == user, (name, found)

    def test_it_takes_no_other_name(self) -> None:
        """A good token does not log its user in under another name."""
        plugin = self.make()
        for name in ODD_NAMES:
            found = self.ask(plugin, self.good[0], name)
            assert not isinstance(found, Identity) or found.acts_as == "", (name, found)

    def test_it_takes_no_other_token(self) -> None:
        """Tokens that are nearly right are refused, without an exception."""
        plugin = self.make()
        token, user = self.good
        for wrong in ("wrong", token + "x", token[:-1], token.swapcase(), "x" * 8000):
            found = self.ask(plugin, wrong, user)
            assert found is None or isinstance(found, TokenRefused), (wrong, found)


class CertificateCheckerContract(Contract):
    """`good` is a certificate, and the user that it belongs to."""

    interface = ICertificateChecker
    good: tuple[Issued, str]

    def ask(self, plugin: Any, certificate: Issued, authzid: str = "") -> Any:
        """The plugin's answer for the certificate."""
        der = x509.load_pem_x509_certificate(certificate.chain).public_bytes(Encoding.DER)
        try:
            return self.wait(plugin.check_certificate(CertificateWanted(authzid), der))
        except Unauthorized:
            return None

    def test_it_knows_whose_a_certificate_is(self) -> None:
        """Whether the client gives the user's name or not."""
        plugin = self.make()
        certificate, user = self.good
        for authzid in ("", user):
            found = self.ask(plugin, certificate, authzid)
            assert answers.is_identity(found) and found.user == user, (authzid, found)

    def test_it_takes_no_other_name(self) -> None:
        """A good certificate does not log its user in under another name."""
        plugin = self.make()
        for name in ODD_NAMES:
            found = self.ask(plugin, self.good[0], name)
            assert found is None or (found.user != name and found.acts_as == ""), (name, found)

    def test_it_takes_no_stranger(self) -> None:
        """Certificates with other names belong to no user."""
        plugin = self.make()
        authority = make_authority("strangers")
        for name in ("stranger.example", "nobody", "*.example", "x" * 63 + ".example"):
            assert self.ask(plugin, authority.issue(name)) is None, name
