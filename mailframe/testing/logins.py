"""Contract tests for `[[auth]]` plugins that know keys, tokens or certificates.

As those of `plugins`: a mixin for a TestCase, whose `make` builds the plugin anew.
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

#: Names that a client may say, and a plugin must survive.
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
    """`good` is a name and a password whose keys it has, by any spelling the plugin takes."""

    interface = IStoredKeys
    good: tuple[str, str]

    def ask(self, plugin: Any, name: str) -> Any:
        """What is kept for that name."""
        return self.wait(plugin.stored_keys(KeysWanted(name, "SCRAM-SHA-256")))

    def test_it_has_the_keys_of_its_users(self) -> None:
        """They are those of the password, and there is something to offer."""
        plugin = self.make()
        name, password = self.good
        found = self.ask(plugin, name)
        assert answers.is_keys_found(found), found
        assert found.keys.matches(password)
        assert not found.keys.matches(password + "x")
        assert plugin.keeps_keys() is True

    def test_it_has_none_of_anybody_else(self) -> None:
        """No odd name raises, or is somebody."""
        plugin = self.make()
        for name in ODD_NAMES:
            assert self.ask(plugin, name) is None, name


class TokenCheckerContract(Contract):
    """`good` is a token, and the user whose it is."""

    interface = ITokenChecker
    good: tuple[str, str]

    def ask(self, plugin: Any, token: str, name: str = "") -> Any:
        """Whose the token is."""
        try:
            return self.wait(plugin.check_token(TokenWanted("OAUTHBEARER", token, name)))
        except Unauthorized:
            return None

    def test_it_knows_whose_a_token_is(self) -> None:
        """Whether the client says who it is, or not."""
        plugin = self.make()
        token, user = self.good
        for name in ("", user):
            found = self.ask(plugin, token, name)
            assert answers.is_identity(found) and found.user == user, (name, found)

    def test_it_takes_no_other_name(self) -> None:
        """A good token is no key to another's mail."""
        plugin = self.make()
        for name in ODD_NAMES:
            found = self.ask(plugin, self.good[0], name)
            assert not isinstance(found, Identity) or found.acts_as == "", (name, found)

    def test_it_takes_no_other_token(self) -> None:
        """Nearly right ones are refused, and are nobody's fault."""
        plugin = self.make()
        token, user = self.good
        for wrong in ("wrong", token + "x", token[:-1], token.swapcase(), "x" * 8000):
            found = self.ask(plugin, wrong, user)
            assert found is None or isinstance(found, TokenRefused), (wrong, found)


class CertificateCheckerContract(Contract):
    """`good` is a certificate, and the user whose it is."""

    interface = ICertificateChecker
    good: tuple[Issued, str]

    def ask(self, plugin: Any, certificate: Issued, authzid: str = "") -> Any:
        """Whose the certificate is."""
        der = x509.load_pem_x509_certificate(certificate.chain).public_bytes(Encoding.DER)
        try:
            return self.wait(plugin.check_certificate(CertificateWanted(authzid), der))
        except Unauthorized:
            return None

    def test_it_knows_whose_a_certificate_is(self) -> None:
        """Whether the client says who it is, or not."""
        plugin = self.make()
        certificate, user = self.good
        for authzid in ("", user):
            found = self.ask(plugin, certificate, authzid)
            assert answers.is_identity(found) and found.user == user, (authzid, found)

    def test_it_takes_no_other_name(self) -> None:
        """A good certificate is no key to another's mail."""
        plugin = self.make()
        for name in ODD_NAMES:
            found = self.ask(plugin, self.good[0], name)
            assert found is None or (found.user != name and found.acts_as == ""), (name, found)

    def test_it_takes_no_stranger(self) -> None:
        """Certificates of other names are nobody's."""
        plugin = self.make()
        authority = make_authority("strangers")
        for name in ("stranger.example", "nobody", "*.example", "x" * 63 + ".example"):
            assert self.ask(plugin, authority.issue(name)) is None, name
