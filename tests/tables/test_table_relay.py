"""Open-relay tricks, each in a whole session through the real relay and route plugins."""

from __future__ import annotations

from pathlib import Path

import pytest
from tables_kit import Composed
from twisted.internet.address import IPv4Address, IPv6Address

TOML = """
[[auth]]
plugin = "passwords"
file = "users"
[[relay]]
plugin = "inbound"
domains = ["example.org", "münchen.example", "[192.0.2.25]"]
[[relay]]
plugin = "authenticated"
[[relay]]
plugin = "networks"
networks = ["198.51.100.0/24", "2001:db8:7::/48"]
[[route]]
plugin = "aliases"
file = "aliases"
domains = ["example.org"]
[[route]]
plugin = "mailboxes"
domains = ["example.org", "münchen.example", "[192.0.2.25]"]
file = "mailboxes"
[[route]]
plugin = "mx"
"""
FILES = {"users": "", "mailboxes": "bob\npostmaster\n", "aliases": "team: bob\n"}


@pytest.fixture
def place(tmp_path: Path) -> Composed:
    return Composed(tmp_path, TOML, files=FILES)


#: RCPT TO:<…> of a stranger -> where the trick comes from
TRICKS = {
    "victim@elsewhere.example": "RFC 5321 section 3.6.2: plain relaying",
    "victim%elsewhere.example@example.org": "RFC 1123 section 5.2.16: percent hack",
    "victim%elsewhere.example@[192.0.2.25]": "percent hack at our address literal",
    "victim%elsewhere.example": "percent hack without a domain",
    "victim%elsewhere.example@": "percent hack, empty domain",
    '"victim%elsewhere.example"@example.org': "percent hack in quotes",
    "victim%40elsewhere.example@example.org": "percent hack, the @ in percent code",
    "elsewhere.example!victim@example.org": "RFC 976: bang path",
    "elsewhere.example!victim@[192.0.2.25]": "bang path at our address literal",
    "elsewhere.example!victim": "bang path without a domain",
    "example.org!elsewhere.example!victim@example.org": "bang path by way of us",
    '"elsewhere.example!victim"@example.org': "bang path in quotes",
    '"victim@elsewhere.example"@example.org': "quoted @ (abuse.net's relay test 10)",
    '"victim@elsewhere.example"': "quoted @ without a domain",
    '"victim\\@elsewhere.example"@example.org': "quoted @, escaped",
    '"victim@elsewhere.example"@[192.0.2.25]': "quoted @ at our address literal",
    "victim@elsewhere.example@example.org": "two @",
    "victim@example.org@elsewhere.example": "two @, ours first",
    "@example.org:victim@elsewhere.example": "RFC 5321 appendix C: source route by way of us",
    "@example.org,@x.example:victim@elsewhere.example": "source route, two hops",
    "@[192.0.2.25]:victim@elsewhere.example": "source route by our address literal",
    "@example.org:@elsewhere.example:victim": "a broken source route",
    "victim@elsewhere.example,bob@example.org": "two addresses in one path",
    "bob@example.org,victim@elsewhere.example": "two addresses in one path, ours first",
    "bob@example.org> <victim@elsewhere.example": "two paths in one RCPT",
    "bob@example.org>victim@elsewhere.example": "octets behind the path",
    "victim@elsewhere.example.": "a trailing dot",
    "victim@elsewhere.example.example.org.": "a trailing dot below us",
    "victim@ELSEWHERE.EXAMPLE": "capitals",
    "victim@example.org.elsewhere.example": "our name as a label of another's",
    "victim@notexample.org": "our name as the end of a label",
    "victim@sub.example.org": "below our name, which was not named",
    "victim@org": "the end of our name",
    "victim@.example.org": "an empty label",
    "victim@example..org": "an empty label in the middle",
    "victim@[198.51.100.7]": "an address literal of a trusted network",
    "victim@[127.0.0.1]": "the literal of this machine",
    "victim@127.0.0.1": "an address without brackets",
    "victim@2130706433": "an address as one number",
    "victim@[IPv6:::1]": "the IPv6 literal of this machine",
    "victim@[IPv6:::ffff:192.0.2.25]": "our literal, mapped into IPv6",
    "victim@[192.0.2.25.]": "our literal with a dot",
    "victim@[192.000.002.025]": "our literal with zeros",
    "victim@[0xC0000219]": "our literal in hexadecimal",
    "victim@localhost": "this machine's name",
    "victim@mx.example.org": "our host name, which is no mail domain",
    "victim@xn--mnchen-3ya.example.elsewhere.example": "our A-label as a label of another's",
    "victim@xn--exmple-4nf.org": "a look-alike of ours in A-labels",
    "postmaster@elsewhere.example": "RFC 5321 section 4.5.1 speaks of our postmaster only",
    "victim": "no domain",
    "victim@": "an empty domain",
    "@example.org": "no local part",
    "": "the null path as recipient",
}


def refused(place: Composed, path: str, parameters: str = "") -> None:
    """For good, and nothing is left of the transaction."""
    talk = place.greeted()
    talk.say(f"MAIL FROM:<boss@example.org>{parameters}")
    [answer] = talk.say(f"RCPT TO:<{path}>")
    assert answer[:3] in ("550", "501"), answer
    assert talk.codes("DATA") == ["503"]


@pytest.mark.parametrize("path", TRICKS, ids=TRICKS.values())
def test_strangers_cannot_relay(place: Composed, path: str) -> None:
    """Refused for good at RCPT; nobody is accepted, so there is no DATA."""
    refused(place, path)


#: the same with SMTPUTF8 (RFC 6531): names that look like ours
UNICODE = {
    "victim@exаmple.org": "a Cyrillic a",
    "victim@example。org.elsewhere.example": "an ideographic full stop, which IDNA takes for a dot",
    "victim@elsewhere。example.org": "an ideographic full stop in another's name",
    "victim@example.org\u200b.elsewhere.example": "a zero-width space",
    "victim@example.org／.elsewhere.example": "a full-width slash",
    "victim@münchen.example.elsewhere.example": "our U-label as a label of another's",
    "victim@munchen.example": "our U-label without its dots",
    "victim＠elsewhere.example@example.org": "a full-width @ in the local part",
    "victim％elsewhere.example@example.org": "a full-width percent sign",
}


@pytest.mark.parametrize("path", UNICODE, ids=UNICODE.values())
def test_look_alikes_cannot_relay(place: Composed, path: str) -> None:
    """Refused, or taken for an unknown mailbox of ours, which is refused, too."""
    refused(place, path, " SMTPUTF8")


OURS = (
    "bob@example.org",
    "BOB@EXAMPLE.ORG",
    "bob+tag@Example.Org",
    '"bob"@example.org',
    "@elsewhere.example:bob@example.org",
    "bob@xn--mnchen-3ya.example",
    "bob@XN--MNCHEN-3YA.example",
    "bob@[192.0.2.25]",
    "team@example.org",
    "postmaster@example.org",
    "PostMaster",
)


@pytest.mark.parametrize("path", OURS)
def test_ours_is_taken_from_anybody(place: Composed, path: str) -> None:
    """The table above refuses tricks, not our mail."""
    assert place.greeted().codes("MAIL FROM:<>", f"RCPT TO:<{path}>") == ["250", "250"]


#: who says so -> what a server that believed it would do
CLAIMS = {
    "MAIL FROM:<boss@example.org>": "a sender of ours",
    "MAIL FROM:<>": "the null sender",
    "MAIL FROM:<a@client.example> AUTH=boss@example.org": "RFC 4954 section 5: AUTH=",
    "MAIL FROM:<victim@[127.0.0.1]>": "a sender at this machine",
}


@pytest.mark.parametrize("hello", ["mx.example.org", "example.org", "localhost", "[127.0.0.1]"])
@pytest.mark.parametrize("claim", CLAIMS, ids=CLAIMS.values())
def test_claims_open_nothing(place: Composed, claim: str, hello: str) -> None:
    """What a client says of itself counts for nothing: not HELO, not MAIL."""
    talk = place.greeted(hello=f"EHLO {hello}")
    assert talk.codes(claim, "RCPT TO:<victim@elsewhere.example>")[-1] == "550"


PEERS = {
    "198.51.100.7": "250",
    "198.51.101.7": "550",
    "127.0.0.1": "550",
    "2001:db8:7::1": "250",
    "2001:db8:8::1": "550",
    "::ffff:198.51.100.7": "250",
    "::ffff:127.0.0.1": "550",
}


@pytest.mark.parametrize("address", PEERS)
def test_the_address_opens(place: Composed, address: str) -> None:
    """Only that of the connection, and only where the operator named it."""
    family = IPv6Address if ":" in address else IPv4Address
    talk = place.greeted(peer=family("TCP", address, 40000))
    assert talk.codes("MAIL FROM:<>", "RCPT TO:<a@elsewhere.example>")[-1] == PEERS[address]


#: lines that change the client's address or name in servers that believe them
FORGED = {
    b"PROXY TCP4 198.51.100.7 192.0.2.25 40000 25\r\n": "PROXY protocol, version 1",
    b"PROXY UNKNOWN\r\n": "PROXY protocol, version 1, unknown",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc6\x33\x64\x07\xc0\0\x02\x19\x9c\x40\0\x19": "version 2",
    b"XCLIENT ADDR=198.51.100.7 NAME=trusted.example\r\n": "Postfix XCLIENT",
    b"XFORWARD ADDR=198.51.100.7\r\n": "Postfix XFORWARD",
    b"XCLIENT LOGIN=boss\r\n": "Postfix XCLIENT, a login",
}


@pytest.mark.parametrize("first", [True, False], ids=["at once", "after EHLO"])
@pytest.mark.parametrize("line", FORGED, ids=FORGED.values())
def test_a_forged_address(place: Composed, line: bytes, first: bool) -> None:
    """mailframe speaks none of these: unknown commands, and the address is the connection's."""
    talk = place.connect() if first else place.greeted()
    talk.send(line)
    said = talk.codes()
    if talk.closed:  # version 2 has a bare LF, after which nothing is read
        assert said.pop() == "421"
        talk = place.connect()
    assert said and set(said) == {"500"}, said
    talk.say("EHLO client.example")
    assert talk.protocol.session.client.address == "192.0.2.7"
    assert talk.protocol.session.client.user is None
    assert talk.codes("MAIL FROM:<>", "RCPT TO:<a@elsewhere.example>")[-1] == "550"
    talk.mail("bob")
    talk.say("RSET", "MAIL FROM:<a@client.example>", "RCPT TO:<bob@example.org>")
    assert talk.message("x")[:3] == "250"
    assert b"([192.0.2.7])" in place.whole[0] and b"198.51.100.7" not in place.whole[0]
