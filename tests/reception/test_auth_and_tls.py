"""STARTTLS, implicit TLS and AUTH over real handshakes in memory."""

import base64
from secrets import token_bytes

import pytest
from reception_kit import Passwords, Place, Speaks, Watching
from twisted.internet.defer import Deferred

from mailframe.hooks import Bound
from mailframe.message import Finding
from mailframe.reception.phase import Phase
from mailframe.sasl import (
    MECHANISMS,
    ClientTerms,
    Credentials,
    Identity,
    KeysFound,
    StoredKeys,
    attempt,
)
from mailframe.settings import Limits, TlsSettings
from mailframe.smtp.reply import Reply
from mailframe.testing.certificates import make_authority
from mailframe.wire.certificates import Certificates
from mailframe.wire.handshake import TlsChannel

USERS = Passwords(alice="secret")
RIGHT = base64.b64encode(b"\0alice\0secret").decode()
WRONG = base64.b64encode(b"\0alice\0guess").decode()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    live = tmp_path_factory.mktemp("live")
    make_authority().issue("mx.example.org").write_live(live)
    return Certificates(TlsSettings(live), "mx.example.org")


@pytest.fixture
def secure(certificates):
    """A place with TLS and users, and a client that has done STARTTLS and EHLO."""
    return secured(Place(auth=[USERS], certificates=certificates))


def secured(place):
    talk = place.greeted()
    assert talk.codes("STARTTLS") == ["220"]
    talk.start_tls()
    talk.say("EHLO client.example")
    return talk


def test_starttls_is_offered_until_it_is_done(certificates):
    """RFC 3207; AUTH is offered only then (RFC 4954 section 4)."""
    place = Place(auth=[USERS], certificates=certificates)
    talk = place.connect()
    before = talk.say("EHLO client.example")
    assert any("STARTTLS" in line for line in before)
    assert not any("AUTH" in line for line in before)
    talk.say("STARTTLS")
    talk.start_tls()
    after = talk.say("EHLO client.example")
    assert not any("STARTTLS" in line for line in after)
    assert any("AUTH PLAIN LOGIN" in line for line in after)
    assert talk.codes("STARTTLS") == ["503"]


def test_the_session_knows_its_tls(secure):
    """Version, cipher, SNI, and the protocol's keyword."""
    client = secure.protocol.session.client
    assert client.tls.version == "TLSv1.3"
    assert client.tls.cipher.startswith("TLS_")
    assert client.tls.server_name == "mx.example.org"
    assert client.protocol == "ESMTPS"


def test_mail_over_tls(secure):
    """The Received: field says so."""
    secure.mail("bob")
    assert secure.message().startswith("250")
    assert b"with ESMTPS (TLSv1.3 TLS_" in secure.place.stored[0]
    assert secure.codes("QUIT") == ["221"]


def test_starttls_without_certificates_is_not_offered():
    """Nor taken."""
    talk = Place(auth=[USERS]).connect()
    hello = talk.say("EHLO client.example")
    assert not any("STARTTLS" in line or "AUTH" in line for line in hello)
    assert talk.codes("STARTTLS")[0] in ("454", "502", "503")


def test_a_listener_with_tls_none_offers_none(certificates):
    """Whatever certificates there are."""
    talk = Place(tls="none", certificates=certificates).connect()
    assert not any("STARTTLS" in line for line in talk.say("EHLO client.example"))


def test_implicit_tls(certificates):
    """The greeting comes inside of it; plain text gets none."""
    place = Place(tls="implicit", auth=[USERS], certificates=certificates)
    talk = place.connect()
    assert talk.greeting == []
    assert talk.start_tls()[0].startswith("220 ")
    hello = talk.say("EHLO client.example")
    assert not any("STARTTLS" in line for line in hello)
    assert any("AUTH" in line for line in hello)
    plain = place.connect()
    plain.send(b"EHLO client.example\r\n" * 10)
    assert plain.closed


def test_implicit_tls_needs_certificates():
    """Refused when it is built."""
    with pytest.raises(ValueError, match="implicit"):
        Place(tls="implicit")


def test_plain_in_one_step(secure):
    """235, and the message says who."""
    assert secure.say(f"AUTH PLAIN {RIGHT}") == ["235 2.7.0 Authentication successful"]
    assert secure.protocol.session.client.user == "alice"
    assert secure.protocol.session.client.protocol == "ESMTPSA"
    assert secure.mail("bob") == ["250", "250"]
    secure.message()
    assert b"with ESMTPSA (" in secure.place.stored[0]
    assert b"\r\nMessage-ID: <" in secure.place.stored[0]
    assert secure.codes(f"AUTH PLAIN {RIGHT}") == ["503"]


def test_hello_after_auth_keeps_the_user(secure):
    """And the keyword."""
    secure.say(f"AUTH PLAIN {RIGHT}")
    secure.say("EHLO again.example")
    assert secure.protocol.session.client.user == "alice"
    assert secure.protocol.session.client.protocol == "ESMTPSA"


def test_the_auth_parameter_of_a_user_is_kept(secure):
    """RFC 4954 section 5."""
    secure.say(f"AUTH PLAIN {RIGHT}")
    secure.say("MAIL FROM:<a@client.example> AUTH=boss@example.org", "RCPT TO:<b@example.org>")
    secure.message()
    assert secure.place.handed[0][0].message.envelope.auth == "boss@example.org"


def test_plain_in_two_steps(secure):
    """An empty challenge first."""
    assert secure.say("AUTH PLAIN") == ["334 "]
    assert secure.codes(RIGHT) == ["235"]


def test_login(secure):
    """The questions in base64."""
    assert secure.say("AUTH LOGIN") == ["334 VXNlcm5hbWU6"]
    assert secure.say(base64.b64encode(b"alice").decode()) == ["334 UGFzc3dvcmQ6"]
    assert secure.codes(base64.b64encode(b"secret").decode()) == ["235"]


def test_what_is_not_a_mechanism_is_504(secure):
    """RFC 4954 section 4."""
    assert secure.codes("AUTH CRAM-MD5") == ["504"]


def test_malformed_and_cancelled_exchanges_are_501(secure):
    """And can be begun again."""
    assert secure.codes("AUTH PLAIN YQ==") == ["501"]
    assert secure.codes("AUTH LOGIN", "*") == ["334", "501"]
    assert secure.codes(f"AUTH PLAIN {RIGHT}") == ["235"]


@pytest.mark.parametrize("user", [b"alice", b"nobody"])
def test_a_failed_auth_takes_its_time(secure, user):
    """The same for unknown users; pipelined commands wait for it."""
    wrong = base64.b64encode(b"\0" + user + b"\0guess").decode()
    assert secure.say(f"AUTH PLAIN {wrong}", "NOOP") == []
    secure.place.clock.advance(0.9)
    assert secure.heard() == []
    secure.place.clock.advance(0.2)
    assert secure.heard() == ["535 5.7.8 Authentication credentials invalid", "250 2.0.0 OK"]
    assert secure.protocol.session.client.user is None


def test_a_slow_failed_auth_is_rounded_up(certificates):
    """What a checker took is not to be seen in the answer's time."""
    slow = Deferred()
    users = Passwords()
    users.requestAvatarId = lambda credentials: slow
    talk = secured(Place(auth=[users], certificates=certificates))
    talk.say(f"AUTH PLAIN {WRONG}")
    talk.place.clock.advance(1.5)
    slow.callback(())
    assert talk.heard() == []
    talk.place.clock.advance(0.4)
    assert talk.heard() == []
    talk.place.clock.advance(0.2)
    assert talk.codes()[0] == "535"


def test_a_client_that_leaves_while_its_failed_auth_waits_leaves_no_timer(secure):
    """Nothing is left to be called."""
    secure.say(f"AUTH PLAIN {WRONG}")
    secure.disconnect()
    assert secure.place.reception.sessions == 0
    assert [call for call in secure.place.clock.getDelayedCalls() if call.time < 1.0] == []
    secure.place.clock.advance(2)
    assert secure.place.clock.getDelayedCalls() == []


def test_failed_auth_counts_as_an_error(certificates):
    """421 after too many."""
    talk = secured(Place(auth=[USERS], certificates=certificates, limits=Limits(errors=2)))
    for expected in ("535", "535", "421"):
        talk.say(f"AUTH PLAIN {WRONG}")
        talk.place.clock.advance(1)
        assert talk.codes() == [expected]
    assert talk.wire.closed or talk.protocol.phase is Phase.CLOSING


def test_a_checker_that_fails_is_454(certificates):
    """Not the password's fault (RFC 4954 section 6)."""
    users = Passwords()
    users.requestAvatarId = None
    talk = secured(Place(auth=[users], certificates=certificates))
    talk.say(f"AUTH PLAIN {RIGHT}")
    talk.place.clock.advance(1)
    assert talk.say()[0].startswith("454 4.7.0")


def test_auth_in_clear_where_the_listener_says_so():
    """For tests and trusted wires."""
    place = Place(auth=[USERS], auth_in_clear=True, requires=("auth",))
    talk = place.connect()
    assert any("AUTH" in line for line in talk.say("EHLO client.example"))
    assert talk.codes(f"AUTH PLAIN {RIGHT}") == ["235"]
    assert talk.protocol.session.client.protocol == "ESMTPA"
    assert talk.mail("bob") == ["250", "250"]
    talk.message()
    assert b"\r\nDate: " in place.stored[0]


def test_auth_in_the_clear_is_538_where_tls_would_allow_it(certificates):
    """Never offered, never taken (RFC 4954 section 4)."""
    talk = Place(auth=[USERS], certificates=certificates).greeted()
    assert talk.say("AUTH PLAIN") == [
        "538 5.7.11 Encryption required for requested authentication mechanism"
    ]
    assert talk.codes(f"AUTH PLAIN {RIGHT}", "NOOP") == ["538", "250"]


def test_auth_without_users_is_not_there(certificates):
    """No [[auth]], no AUTH."""
    talk = secured(Place(certificates=certificates))
    assert not any("AUTH" in line for line in talk.say("EHLO client.example"))
    assert talk.codes(f"AUTH PLAIN {RIGHT}")[0] in ("502", "503")


def test_auth_is_not_announced_where_nobody_is_asked(certificates):
    """`on` keeps every [[auth]] plugin out of this listener."""
    place = Place(auth=[Bound("auth", "x", USERS, on=frozenset({"submission"}))],
                  certificates=certificates)  # fmt: skip
    talk = place.greeted()
    assert talk.codes(f"AUTH PLAIN {RIGHT}") == ["503"]
    talk = secured(place)
    assert not any("AUTH" in line for line in talk.say("EHLO client.example"))
    assert talk.codes(f"AUTH PLAIN {RIGHT}") == ["503"]


class Keys:
    """What is kept of alice's password."""

    def keeps_keys(self):
        return True

    def stored_keys(self, wanted):
        keys = StoredKeys.derive("secret", b"0123456789abcdef", 4096)
        return KeysFound(Identity("alice"), keys) if wanted.name == "alice" else None


def scram(talk, mechanism, password):
    """AUTH by SCRAM; the reply to the last response."""
    bindings = TlsChannel(talk.tls, is_server=False).bindings
    terms = ClientTerms(offered=MECHANISMS, random=token_bytes, private=True, bindings=bindings)
    client = attempt(mechanism, Credentials("alice", password), terms)
    said = f"AUTH {mechanism} {base64.b64encode(client.initial()).decode()}"
    while True:
        (reply,) = talk.say(said) or talk.place.clock.advance(1) or talk.heard()
        if reply[:3] != "334":
            return reply
        answer = client.step(base64.b64decode(reply[4:]))
        said = base64.b64encode(answer).decode()


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"])
def test_scram(certificates, mechanism):
    """RFC 4954 section 4: the server's proof is a challenge that is answered with nothing."""
    place = Place(auth=[Keys()], certificates=certificates)
    talk = secured(place)
    hello = talk.say("EHLO client.example")
    assert "250-AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256" in hello
    wrong = scram(talk, mechanism, "guess")
    assert wrong == "535 5.7.8 Authentication credentials invalid"
    assert talk.protocol.session.client.user is None
    assert scram(talk, mechanism, "secret") == "235 2.7.0 Authentication successful"
    assert talk.protocol.session.client.user == "alice"
    assert talk.protocol.session.client.protocol == "ESMTPSA"


def test_tls_forgets_the_user_and_the_hello_but_not_the_connect(certificates):
    """RFC 3207 section 4.2."""
    place = Place(
        auth=[USERS],
        auth_in_clear=True,
        certificates=certificates,
        filters=[
            Speaks(
                connected=lambda client: Finding({"rdns": "none"}),
                hello=lambda client: Finding({"helo": "odd"}),
            )
        ],
    )
    talk = place.greeted()
    talk.say(f"AUTH PLAIN {RIGHT}", "STARTTLS")
    talk.start_tls()
    client = talk.protocol.session.client
    assert (client.user, client.hello, client.protocol) == (None, "", "SMTP")
    assert client.signals == {"rdns": "none"}


def test_the_handshake_has_a_time_limit(certificates):
    """Nothing can be said in the clear any more: the connection is dropped."""
    place = Place(certificates=certificates, limits=Limits(tls_timeout=10))
    talk = place.greeted()
    talk.say("STARTTLS")
    place.clock.pump([1.0] * 12)
    assert talk.wire.aborted
    implicit = Place(tls="implicit", certificates=certificates, limits=Limits(tls_timeout=10))
    talk = implicit.connect()
    implicit.clock.pump([1.0] * 12)
    assert talk.wire.aborted


def test_a_pause_does_not_survive_starttls(certificates):
    """Much sent behind STARTTLS is forgotten, and the client is read again."""
    slow = Deferred()
    place = Place(certificates=certificates, filters=[Speaks(sender=lambda envelope: slow)])
    talk = place.greeted()
    talk.send(b"MAIL FROM:<>\r\nRSET\r\nSTARTTLS\r\n" + b"NOOP\r\n" * 20_000)
    assert not talk.wire.reading
    slow.callback(None)
    assert talk.codes() == ["250", "250", "220"]
    assert talk.wire.reading
    talk.start_tls()
    assert talk.say("EHLO client.example")[0].startswith("250")


def test_too_many_connections_on_implicit_tls_close_without_a_word(certificates):
    """A reply in the clear would be no TLS."""
    place = Place(tls="implicit", certificates=certificates, limits=Limits(connections=0))
    talk = place.connect()
    assert talk.greeting == []
    assert talk.closed


def test_stopping_drops_handshakes(certificates):
    """They run no command."""
    place = Place(tls="implicit", certificates=certificates)
    talk = place.connect()
    place.reception.stop_gracefully()
    assert talk.wire.aborted


def test_a_refused_connect_over_tls(certificates):
    """Inside of it."""
    refused = Reply(554, "No", "5.7.1")
    place = Place(
        tls="implicit",
        certificates=certificates,
        filters=[Speaks(connected=lambda client: refused)],
    )
    assert place.connect().start_tls() == ["554 5.7.1 No"]


def test_tls_is_told_to_observers(certificates):
    """With version and cipher."""
    watching = Watching()
    secured(Place(certificates=certificates, observers=[watching]))
    (event,) = [event for event in watching.events if event.verdict == "tls"]
    assert event.facts["version"] == "TLSv1.3"
