"""route_mx and route_smarthost: where mail for others goes."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.trial.unittest import SynchronousTestCase

from mailframe.message import NextHop, Recipient, Route
from mailframe.plugin import Secret, SettingError
from mailframe.smtp.address import Mailbox
from mailframe.smtp.reply import NO_SUCH_DOMAIN
from mailframe.testing.plugins import RouterContract
from mailframe.testing.values import envelope, mailbox, site
from mailframe_plugins.route_mx import Mx
from mailframe_plugins.route_mx import Settings as MxSettings
from mailframe_plugins.route_smarthost import Settings as SmarthostSettings
from mailframe_plugins.route_smarthost import Smarthost

PASSWORD = Secret("s3cret-of-ours")


class MxContractTests(RouterContract, SynchronousTestCase):
    """route_mx keeps the contract."""

    def make(self) -> Mx:
        return Mx(MxSettings(), site())


class SmarthostContractTests(RouterContract, SynchronousTestCase):
    """route_smarthost keeps the contract."""

    def make(self) -> Smarthost:
        return Smarthost(SmarthostSettings("smtp.provider.example"), site())


def hop(router: Mx | Smarthost, address: str | Mailbox) -> NextHop | None:
    answer = router.route(envelope(), Recipient(mailbox(address)))
    if answer is None:
        return None
    assert isinstance(answer, Route), answer
    assert (answer.recipient, answer.mailbox) == (None, None)
    return answer.next_hop


def mx(**settings: Any) -> Mx:
    return Mx(MxSettings(**settings), site())


def test_mx() -> None:
    """A domain's mail goes to its exchanges, in one spelling, so that recipients share."""
    assert hop(mx(), "a@Example.COM") == NextHop("example.com", "mx")
    assert hop(mx(), "a@MÜNCHEN.example") == NextHop("xn--mnchen-3ya.example", "mx")
    route = mx(deliver="out").route(envelope(), Recipient(mailbox("a@example.com")))
    assert isinstance(route, Route)
    assert route.agent == "out"


def test_mx_address_literals() -> None:
    """An address literal is dialled itself."""
    assert hop(mx(), "a@[192.0.2.1]") == NextHop("[192.0.2.1]", "host")
    assert hop(mx(), "a@[IPv6:2001:db8::1]") == NextHop("[ipv6:2001:db8::1]", "host")


def test_mx_has_no_opinion_on_the_bare_postmaster() -> None:
    """The bare Postmaster is no stranger's."""
    assert hop(mx(), Mailbox("postmaster", "")) is None


def test_mx_no_domain_name() -> None:
    """What IDNA does not know is no domain."""
    answer = mx().route(envelope(), Recipient(Mailbox("a", "xn--\u2028.example")))
    assert answer == NO_SUCH_DOMAIN


def test_mx_some_domains() -> None:
    """It can be for some domains, or for all but some."""
    some = mx(domains=("example.com", ".example.net"), except_domains=("bad.example.net",))
    assert hop(some, "a@example.com") is not None
    assert hop(some, "a@www.example.net") is not None
    for other in ("a@example.org", "a@example.net", "a@bad.example.net"):
        assert hop(some, other) is None


def test_mx_settings_go_along() -> None:
    """Port, private and TLS are on every route; TLS differs by domain where that is said."""
    router = mx(
        port=2525,
        private=True,
        tls="require",
        tls_domains={"Bank.example": "verify", ".bank.example": "never"},
    )
    assert hop(router, "a@example.com") == NextHop(
        "example.com", "mx", 2525, "require", private=True
    )
    for domain, tls in (("bank.example", "verify"), ("x.bank.example", "never")):
        found = hop(router, f"a@{domain}")
        assert found is not None
        assert found.tls == tls


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("port", 0),
        ("port", 65536),
        ("domains", ("a b",)),
        ("except_domains", ("",)),
        ("tls_domains", {"a b": "verify"}),
    ],
)
def test_mx_wrong_settings(key: str, value: Any) -> None:
    """Each wrong value is refused by its key."""
    with pytest.raises(SettingError) as caught:
        mx(**{key: value})
    assert caught.value.key == key


def smarthost(host: str = "smtp.provider.example", **settings: Any) -> Smarthost:
    return Smarthost(SmarthostSettings(host, **settings), site())


def test_smarthost() -> None:
    """Everything goes to the one host; the same route for all, so that recipients share."""
    router = smarthost("SMTP.Provider.Example", port=587)
    expected = NextHop("smtp.provider.example", "host", 587, "opportunistic", private=True)
    for to in ("a@example.com", "a@example.net", "a@[192.0.2.1]"):
        assert hop(router, to) == expected
    assert hop(router, Mailbox("postmaster", "")) is None


def test_smarthost_lookup() -> None:
    """It can be a domain whose exchanges are asked for, and private addresses be refused."""
    found = hop(smarthost("provider.example", lookup="mx", private=False), "a@b.example")
    assert found == NextHop("provider.example", "mx")


def test_smarthost_domains() -> None:
    """It can be for some domains only."""
    router = smarthost(domains=("example.com",))
    assert hop(router, "a@EXAMPLE.com") is not None
    assert hop(router, "a@example.org") is None


@pytest.mark.parametrize(
    ("host", "spelled"),
    [
        ("192.0.2.25", "[192.0.2.25]"),
        ("[192.0.2.25]", "[192.0.2.25]"),
        ("2001:db8::25", "[IPv6:2001:db8::25]"),
        ("[IPv6:2001:db8::25]", "[IPv6:2001:db8::25]"),
        ("münchen.example", "xn--mnchen-3ya.example"),
        ("localhost", "localhost"),
    ],
)
def test_smarthost_spellings(host: str, spelled: str) -> None:
    """Names and addresses of both families are taken."""
    found = hop(smarthost(host), "a@b.example")
    assert found is not None
    assert found.host == spelled


def test_smarthost_password() -> None:
    """With a password TLS is verified, unless something safe is said; it is never shown."""
    found = hop(smarthost(user="me", password=PASSWORD), "a@b.example")
    assert found is not None
    assert (found.user, found.password, found.tls) == ("me", PASSWORD, "verify")
    assert PASSWORD not in repr(found)
    for tls in ("require", "verify", "implicit"):
        found = hop(smarthost(user="me", password=PASSWORD, tls=tls), "a@b.example")
        assert found is not None
        assert found.tls == tls


def test_smarthost_password_in_clear() -> None:
    """A password in the clear must be asked for twice."""
    for tls in ("never", "opportunistic"):
        with pytest.raises(SettingError, match="may show the password") as caught:
            smarthost(user="me", password=PASSWORD, tls=tls)
        assert caught.value.key == "tls"
        assert PASSWORD not in str(caught.value)
        found = hop(
            smarthost(user="me", password=PASSWORD, tls=tls, auth_in_clear=True), "a@b.example"
        )
        assert found is not None
        assert found.tls == tls
    found = hop(smarthost(user="me", password=PASSWORD, auth_in_clear=True), "a@b.example")
    assert found is not None
    assert found.tls == "opportunistic"


@pytest.mark.parametrize(
    ("key", "settings"),
    [
        ("host", {"host": ""}),
        ("host", {"host": "a b"}),
        ("host", {"host": "smtp.provider.example:587"}),
        ("lookup", {"host": "192.0.2.25", "lookup": "mx"}),
        ("port", {"port": 0}),
        ("password", {"user": "me"}),
        ("user", {"password": PASSWORD}),
        ("domains", {"domains": ("a b",)}),
    ],
)
def test_smarthost_wrong_settings(key: str, settings: dict[str, Any]) -> None:
    """Each wrong value is refused by its key."""
    with pytest.raises(SettingError) as caught:
        smarthost(**settings)
    assert caught.value.key == key
