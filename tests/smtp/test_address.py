"""Mailboxes: what is one, how it is spelled, when two are the same."""

from __future__ import annotations

import pytest

from mailframe.smtp.address import AddressError, Mailbox, literal_address, parse_domain


@pytest.mark.parametrize(
    ("text", "local", "domain", "spelled"),
    [
        ("a@example.org", "a", "example.org", "a@example.org"),
        ("Some.One@EXAMPLE.org", "Some.One", "example.org", "Some.One@example.org"),
        ('"a"@example.org', "a", "example.org", "a@example.org"),
        ('"a b"@example.org', "a b", "example.org", '"a b"@example.org'),
        (r'"a\"\\\b"@example.org', 'a"\\b', "example.org", r'"a\"\\b"@example.org'),
        ('""@example.org', "", "example.org", '""@example.org'),
        ('"a@b"@example.org', "a@b", "example.org", '"a@b"@example.org'),
        ("a@[192.0.2.1]", "a", "[192.0.2.1]", "a@[192.0.2.1]"),
        ("a@[IPv6:2001:DB8::1]", "a", "[ipv6:2001:db8::1]", "a@[ipv6:2001:db8::1]"),
        ("jörg@BÜCHER.example", "jörg", "bücher.example", "jörg@bücher.example"),
        ("a%b!c@example.org", "a%b!c", "example.org", "a%b!c@example.org"),
    ],
)
def test_a_mailbox(text: str, local: str, domain: str, spelled: str) -> None:
    """RFC 5321 section 4.1.2: quotes are undone, domains are in lower case."""
    mailbox = Mailbox.parse(text)
    assert (mailbox.local, mailbox.domain, str(mailbox)) == (local, domain, spelled)
    assert Mailbox.parse(spelled) == mailbox


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "@example.org",
        "a@",
        "a@b@example.org",
        "a b@example.org",
        "a@example..org",
        "a@.example.org",
        "a@example.org..",
        "a@.",
        "a@[192.0.2.1].",
        "a@example.org ",
        "a@example.org\n",
        'a"b"@example.org',
        '"a@example.org',
        '"a"b@example.org',
        '"a\x01"@example.org',
        '"a\r\n"@example.org',
        "a@[192.0.2.1",
        "a@[]",
        "a@[192.0.2]",
        "a@[192.0.2.1]x",
        "a@[IPv6:fe80::1%eth0]",
        "a@[IPv4:192.0.2.1]",
        "a@192.0.2.1]",
        "a@" + "x" * 64 + ".org",
        "a@" + ".".join(["x" * 60] * 5),
        "x" * 245 + "@example.org",
        "ö" * 123 + "@example.org",
        '"a""b"@example.org',
        '"a"@b@example.org',
    ],
)
def test_no_mailbox(text: str) -> None:
    """What nobody could take for an address raises AddressError, by the letter or not."""
    for strict in (False, True):
        with pytest.raises(AddressError):
            Mailbox.parse(text, strict=strict)


@pytest.mark.parametrize(
    ("text", "local", "domain", "spelled"),
    [
        (".a@example.org", ".a", "example.org", '".a"@example.org'),
        ("a.@example.org", "a.", "example.org", '"a."@example.org'),
        ("ab..cd..05@example.org", "ab..cd..05", "example.org", '"ab..cd..05"@example.org'),
        ("..@example.org", "..", "example.org", '".."@example.org'),
        ('a."b c".d@example.org', "a.b c.d", "example.org", '"a.b c.d"@example.org'),
        ('"a".b@example.org', "a.b", "example.org", "a.b@example.org"),
        ("a@example.org.", "a", "example.org", "a@example.org"),
        ("a@-example.org", "a", "-example.org", "a@-example.org"),
        ("a@example-.org", "a", "example-.org", "a@example-.org"),
        ("a@my_Host.example", "a", "my_host.example", "a@my_host.example"),
        ("a@_x.my.example", "a", "_x.my.example", "a@_x.my.example"),
        ("x" * 65 + "@example.org", "x" * 65, "example.org", "x" * 65 + "@example.org"),
        ("ö" * 33 + "@example.org", "ö" * 33, "example.org", "ö" * 33 + "@example.org"),
        ("." * 242 + "@example.org", "." * 242, "example.org", f'"{"." * 242}"@example.org'),
    ],
)
def test_strange_mailboxes(text: str, local: str, domain: str, spelled: str) -> None:
    """Addresses that are in use outside RFC 5321 section 4.1.2 are taken, and refused by it.

    They are spelled so that they are read back as the same.
    """
    mailbox = Mailbox.parse(text)
    assert (mailbox.local, mailbox.domain, str(mailbox)) == (local, domain, spelled)
    assert Mailbox.parse(spelled) == mailbox
    with pytest.raises(AddressError):
        Mailbox.parse(text, strict=True)


def test_limits() -> None:
    """RFC 5321 section 4.5.3.1: 64 octets of local part, labels of 63, domains of 255."""
    Mailbox.parse("x" * 64 + "@" + "y" * 63 + ".org", strict=True)
    Mailbox.parse("ö" * 32 + "@example.org", strict=True)
    parse_domain(".".join(["x" * 63] * 3 + ["y" * 63]))


def test_what_is_known_of_it() -> None:
    """Whether SMTPUTF8 is needed, and whether the domain is an address."""
    assert Mailbox("a", "example.org").is_ascii
    assert not Mailbox("ö", "example.org").is_ascii
    assert not Mailbox("a", "ö.example").is_ascii
    assert Mailbox("a", "[192.0.2.1]").is_literal
    assert not Mailbox("a", "example.org").is_literal
    assert str(Mailbox("postmaster", "")) == "postmaster"


def test_literal_address() -> None:
    """RFC 5321 section 4.1.3: the address in the brackets."""
    assert str(literal_address("[192.0.2.1]")) == "192.0.2.1"
    assert str(literal_address("[ipv6:2001:DB8::1]")) == "2001:db8::1"
    for wrong in (
        "192.0.2.1",
        "[x:y]",
        "[IPv6:192.0.2.1]",
        "[IPv6:]",
        "[2001:db8::1]",
        "[1.2.3.04]",
    ):
        with pytest.raises(AddressError):
            literal_address(wrong)
