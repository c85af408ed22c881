"""The relay plugins: inbound, authenticated, networks, and every trick to get past them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mailframe.message import Client, Recipient
from mailframe.plugin import NoSettings, SettingError
from mailframe.smtp.address import Mailbox
from mailframe.smtp.command import Rcpt
from mailframe.smtp.grammar import parse_command
from mailframe.smtp.reply import RECIPIENT_OK, Reply
from mailframe.testing.plugins import RelayPolicyContract
from mailframe.testing.values import client, envelope, recipient, site
from mailframe_plugins.relay_authenticated import Authenticated
from mailframe_plugins.relay_inbound import Inbound
from mailframe_plugins.relay_inbound import Settings as InboundSettings
from mailframe_plugins.relay_networks import Networks
from mailframe_plugins.relay_networks import Settings as NetworkSettings


def inbound(*domains: str, **more: Any) -> Inbound:
    return Inbound(InboundSettings(domains or ("example.org",), **more), site())


class InboundContractTests(RelayPolicyContract, SynchronousTestCase):
    """relay_inbound keeps the contract."""

    def make(self) -> Inbound:
        return inbound("example.org", ".example.net")


class AuthenticatedContractTests(RelayPolicyContract, SynchronousTestCase):
    """relay_authenticated keeps the contract."""

    def make(self) -> Authenticated:
        return Authenticated(NoSettings(), site())


class NetworksContractTests(RelayPolicyContract, SynchronousTestCase):
    """relay_networks keeps the contract."""

    def make(self) -> Networks:
        return Networks(NetworkSettings(("203.0.113.0/24",)), site())


def judged(policy: Inbound, path: str) -> Reply | None:
    """What becomes of `RCPT TO:<path>`; the grammar has the first word."""
    command = parse_command(f"RCPT TO:<{path}>".encode())
    if isinstance(command, Reply):
        return command
    assert isinstance(command, Rcpt)
    return policy.judge(envelope(), Recipient(command.recipient))


@pytest.mark.parametrize(
    "path",
    [
        "bob@example.org",
        "Bob@EXAMPLE.ORG",
        "bob+tag@Example.Org",
        '"odd local"@example.org',
        "bob@xn--mnchen-3ya.example",
        "bob@MÜNCHEN.example",
        "bob@sub.example.net",
        "bob@a.b.example.net",
        "postmaster",
        "PostMaster",
    ],
)
def test_ours(path: str) -> None:
    """Our domains in every spelling, and the bare Postmaster, are ours."""
    policy = inbound("Example.org.", "münchen.example", ".example.net")
    assert judged(policy, path) == RECIPIENT_OK


@pytest.mark.parametrize(
    "path",
    [
        "victim@elsewhere.example",
        # RFC 5321 section 3.6.1, RFC 2635 and the classic relay testers' list.
        "victim%elsewhere.example@example.org",  # percent hack
        "victim%elsewhere.example@[192.0.2.25]",  # the same at our address
        "elsewhere.example!victim@example.org",  # bang path
        "elsewhere.example!victim",
        "elsewhere.example!victim@[192.0.2.25]",
        '"victim@elsewhere.example"@example.org',  # quoted @
        '"victim%elsewhere.example"@example.org',
        '"elsewhere.example!victim"@example.org',
        '"victim@elsewhere.example"',
        '"victim@elsewhere.example"@[192.0.2.25]',
        '"victim\\@elsewhere.example"@example.org',
        "victim@elsewhere.example@example.org",  # two @
        "victim@example.org@elsewhere.example",
        "@example.org:victim@elsewhere.example",  # source route (RFC 5321 appendix C)
        "@example.org,@x.example:victim@elsewhere.example",
        "@[192.0.2.25]:victim@elsewhere.example",
        "victim@elsewhere.example:25",
        "victim@",
        "@example.org",
        "victim",
        "victim@example.org.elsewhere.example",  # our name as another's label
        "victim@notexample.org",
        "victim@org",
        "victim@example",
        "victim@.example.org",
        "victim@example..org",
        "victim@example.net",  # .example.net is below, not itself
        "victim@notexample.net",
        "victim@[192.0.2.25]",
        "victim@[127.0.0.1]",
        "victim@[IPv6:::1]",
        "victim@localhost",
        "victim@exаmple.org",  # a Cyrillic а
        "victim@example。org.elsewhere.example",  # an ideographic full stop
        "victim@example.org\u200b.elsewhere.example",
        "postmaster@elsewhere.example",
        "",
    ],
)
def test_tricks(path: str) -> None:
    """No spelling of a stranger's address is taken for ours; none opens the relay."""
    answer = judged(inbound("example.org", ".example.net"), path)
    assert answer is None or answer.permanent, answer


def test_tricks_in_a_local_part_name_the_reason() -> None:
    """A way hidden in a local part of ours is refused for good."""
    for local in ("a%b.example", "b.example!a", "a@b.example"):
        answer = inbound().judge(envelope(), Recipient(Mailbox(local, "example.org")))
        assert answer is not None
        assert (answer.code, answer.status) == (550, "5.7.1")


def test_routing_characters_may_be_allowed() -> None:
    """Where the operator has such mailboxes, the domain alone decides."""
    policy = inbound(refuse_routing_characters=False)
    ours, others = Mailbox("a%b.example", "example.org"), Mailbox("a%example.org", "b.example")
    assert policy.judge(envelope(), Recipient(ours)) == RECIPIENT_OK
    assert policy.judge(envelope(), Recipient(others)) is None


def test_routing_characters_elsewhere_are_others_business() -> None:
    """An authenticated user may write to a!b@elsewhere.example: no opinion here."""
    assert inbound().judge(envelope(), recipient("a!b@elsewhere.example")) is None


def test_only_postmaster_has_no_domain() -> None:
    """A recipient without domain that is not the postmaster is nobody's."""
    assert inbound().judge(envelope(), Recipient(Mailbox("root", ""))) is None


def test_our_address_literal() -> None:
    """Our own address literal can be one of our domains, in any spelling."""
    policy = inbound("[192.0.2.25]", "[IPv6:2001:db8:0::25]")
    for literal in ("[192.0.2.25]", "[ipv6:2001:DB8::25]"):
        assert policy.judge(envelope(), Recipient(Mailbox("a", literal))) == RECIPIENT_OK


def test_who_sends_does_not_matter() -> None:
    """Neither our own domain as sender nor a user's name opens anything here."""
    asked = envelope("boss@example.org", client=client("127.0.0.1", user="boss"))
    assert inbound().judge(asked, recipient("victim@elsewhere.example")) is None


def test_domains_in_a_file(tmp_path: Path) -> None:
    """More domains come from a file, and its changes count within a second."""
    clock = Clock()
    file = tmp_path / "domains"
    file.write_text("# ours\nExample.NET\n.example.com\n")
    policy = Inbound(InboundSettings((), Path("domains")), site(tmp_path, reactor=clock))
    assert policy.judge(envelope(), recipient("a@example.net")) == RECIPIENT_OK
    assert policy.judge(envelope(), recipient("a@www.example.com")) == RECIPIENT_OK
    assert policy.judge(envelope(), recipient("a@example.org")) is None
    file.write_text("example.org\n")
    clock.advance(1)
    assert policy.judge(envelope(), recipient("a@example.org")) == RECIPIENT_OK
    assert policy.judge(envelope(), recipient("a@example.net")) is None


def test_the_domains_that_can_be_named(tmp_path: Path) -> None:
    """Those of the setting, then those of the file; no patterns, no address literals."""
    (tmp_path / "domains").write_text("b.example\n.below.example\nA.example\n")
    settings = InboundSettings(("a.example", "[192.0.2.1]"), tmp_path / "domains")
    assert Inbound(settings, site(tmp_path)).domains() == ["a.example", "b.example"]
    assert inbound(".example.org").domains() == []


def test_an_emptied_file_of_domains(tmp_path: Path) -> None:
    """Our domains stay ours."""
    clock = Clock()
    file = tmp_path / "domains"
    file.write_text("example.org\n")
    relay = Inbound(InboundSettings((), Path("domains")), site(tmp_path, reactor=clock))
    file.write_text("# nothing\n")
    clock.advance(1)
    assert relay.judge(envelope(), recipient("a@example.org")) == RECIPIENT_OK


def test_a_bad_file_of_domains(tmp_path: Path) -> None:
    """A line that is no domain is named at the start, with its number."""
    (tmp_path / "domains").write_text("example.net\nnot a domain\n")
    with pytest.raises(SettingError, match=r"domains:2: 'not a domain'") as caught:
        Inbound(InboundSettings((), Path("domains")), site(tmp_path))
    assert caught.value.key == "file"


@pytest.mark.parametrize("domains", [(), ("not a domain",), ("",), ("*",), ("example.org", "a..b")])
def test_bad_domains(domains: tuple[str, ...]) -> None:
    """No domain at all, or what is none, is refused at the start."""
    with pytest.raises(SettingError) as caught:
        Inbound(InboundSettings(domains), site())
    assert caught.value.key == "domains"


def test_authenticated() -> None:
    """Users may send to anybody, others are not known here."""
    policy = Authenticated(NoSettings(), site())
    elsewhere = recipient("a@elsewhere.example")
    assert policy.judge(envelope(client=client(user="alice")), elsewhere) == RECIPIENT_OK
    assert policy.judge(envelope(client=client("127.0.0.1")), elsewhere) is None
    assert policy.judge(envelope(client=client(user="")), elsewhere) is None


def may_relay(address: str, *networks: str) -> bool:
    policy = Networks(NetworkSettings(networks), site())
    answer = policy.judge(envelope(client=Client(address)), recipient("a@elsewhere.example"))
    assert answer in (None, RECIPIENT_OK)
    return answer is not None


def test_networks() -> None:
    """A client relays where its address lies in a named network."""
    assert may_relay("192.0.2.7", "192.0.2.0/24")
    assert may_relay("192.0.2.7", "198.51.100.1", "192.0.2.7")
    assert may_relay("2001:db8::7", "2001:db8::/32")
    assert may_relay("fe80::1%eth0", "fe80::/10")
    assert not may_relay("192.0.3.7", "192.0.2.0/24")
    assert not may_relay("192.0.2.7", "2001:db8::/32")


def test_mapped_addresses() -> None:
    """An IPv4 client of an IPv6 socket is that IPv4 client, and no IPv6 one."""
    assert may_relay("::ffff:192.0.2.7", "192.0.2.0/24")
    assert may_relay("192.0.2.7", "::ffff:192.0.2.0/120")
    assert not may_relay("::ffff:198.51.100.7", "::/1", "192.0.2.0/24")


def test_nobody_by_default() -> None:
    """Without networks no client is trusted, this machine included."""
    for address in ("127.0.0.1", "::1", "unix", "", "rubbish"):
        assert not may_relay(address)
        assert not may_relay(address, "192.0.2.0/24")


def test_unix_sockets() -> None:
    """Clients of a unix socket are trusted where that is said."""
    assert may_relay("unix", "unix")
    assert not may_relay("127.0.0.1", "unix")


@pytest.mark.parametrize(
    ("network", "words"),
    [
        ("192.0.2.1/24", "'192.0.2.0/24' is the network"),
        ("192.0.2.0/33", "not an address or network"),
        ("localhost", "not an address or network"),
        ("192.0.2", "not an address or network"),
        ("", "not an address or network"),
        ("0.0.0.0/0", "open relay"),
        ("::/0", "open relay"),
        ("::ffff:0.0.0.0/96", "open relay"),
    ],
)
def test_bad_networks(network: str, words: str) -> None:
    """What is no network, and what is everybody, is refused at the start."""
    with pytest.raises(SettingError, match=words) as caught:
        Networks(NetworkSettings(("192.0.2.0/24", network)), site())
    assert caught.value.key == "networks"
