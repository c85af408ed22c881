"""What a session answers: greeting, hello, mail, recipients, and the rest."""

from typing import get_args

import pytest
from reception_kit import HOST, Open, Place, Router, Speaks, Watching
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred

from mailframe.message import Finding, Redirect
from mailframe.reception.session import _ANSWERS
from mailframe.settings import Limits
from mailframe.smtp.address import Mailbox
from mailframe.smtp.event import Event
from mailframe.smtp.reply import NO_SUCH_MAILBOX, Reply

REFUSED = Reply(550, "Not you", "5.7.1")
LATER = Reply(450, "Later", "4.7.1")


def test_the_path_of_a_message():
    """Greeting, EHLO, MAIL, RCPT, DATA, QUIT; the message is durable before its 250."""
    place = Place()
    talk = place.connect()
    assert talk.greeting[0].startswith(f"220 {HOST}")
    hello = talk.say("EHLO client.example")
    assert hello[0].startswith(f"250-{HOST}")
    assert talk.mail("bob") == ["250", "250"]
    assert talk.say("DATA") == ["354 End data with <CRLF>.<CRLF>"]
    (queued,) = talk.say("Subject: hello", "", "hello", "..", ".")
    entry, claimed = place.handed[0]
    assert queued == f"250 2.0.0 OK, queued as {entry.id}"
    assert claimed
    assert entry.message.envelope.sender == Mailbox("alice", "client.example")
    octets = entry.message.content.at_hand
    assert octets.startswith(b"Received: from client.example ([192.0.2.7])\r\n\tby mx.example.org")
    assert octets.endswith(b"\r\nSubject: hello\r\n\r\nhello\r\n.\r\n")
    assert talk.codes("QUIT") == ["221"]
    assert talk.closed


def test_pipelined_replies_are_written_together():
    """One write for a group of commands (RFC 2920)."""
    talk = Place().greeted()
    before = len(talk.wire.writes)
    assert talk.mail("a", "b", "c") == ["250"] * 4
    assert len(talk.wire.writes) == before + 1
    assert talk.wire.no_delay


def test_a_session_that_waits_for_nothing_makes_no_deferred(monkeypatch):
    """What is at hand is answered within dataReceived."""
    made = []
    original = Deferred.__init__

    def counting(self, *args, **kwargs):
        made.append(self)
        original(self, *args, **kwargs)

    place = Place()
    monkeypatch.setattr(Deferred, "__init__", counting)
    talk = place.greeted()
    talk.mail("bob")
    assert talk.message().startswith("250")
    assert made == []


@pytest.mark.parametrize(
    ("listener", "hello", "protocol"),
    [
        ("smtp", "HELO client.example", "SMTP"),
        ("smtp", "EHLO client.example", "ESMTP"),
        ("lmtp", "LHLO client.example", "LMTP"),
    ],
)
def test_the_protocol_is_named(listener, hello, protocol):
    """RFC 3848."""
    talk = Place(protocol=listener).greeted(hello=hello)
    assert talk.protocol.session.client.protocol == protocol
    assert talk.protocol.session.client.hello == "client.example"


def test_small_commands():
    """VRFY 252, EXPN 502, HELP 214, NOOP 250, RSET 250, unknown 500."""
    talk = Place().greeted()
    assert talk.codes("VRFY bob") == ["252"]
    assert talk.codes("EXPN list") == ["502"]
    assert set(talk.codes("HELP")) == {"214"}
    assert talk.codes("NOOP", "RSET", "BLURB") == ["250", "250", "500"]


def test_rset_and_ehlo_forget_the_transaction():
    """RFC 5321 sections 4.1.1.5 and 4.1.4."""
    for command in ("RSET", "EHLO again.example"):
        talk = Place().greeted()
        talk.mail("bob")
        talk.say(command)
        assert talk.codes("RCPT TO:<bob@example.org>") == ["503"]
        assert talk.protocol.session.transaction is None


def test_a_refusal_at_connect_takes_the_greetings_place():
    """And closes the connection."""
    talk = Place(filters=[Speaks(connected=lambda client: REFUSED)]).connect()
    assert talk.greeting == ["550 5.7.1 Not you"]
    assert talk.closed


def test_a_slow_connect_hook_delays_the_greeting():
    """What the client sends before it waits, and is answered after it."""
    slow = Deferred()
    talk = Place(filters=[Speaks(connected=lambda client: slow)]).connect()
    assert talk.say("EHLO client.example") == []
    slow.callback(None)
    heard = talk.heard()
    assert heard[0].startswith("220 ")
    assert heard[1].startswith("250-")


def test_a_client_that_leaves_during_the_connect_hook_is_let_go():
    """The hook's answer comes to nothing."""
    slow = Deferred()
    place = Place(filters=[Speaks(connected=lambda client: slow)])
    talk = place.connect()
    talk.disconnect()
    slow.callback(None)
    assert talk.heard() == []
    assert place.reception.sessions == 0


def test_a_refused_hello_leaves_the_session_as_it_was():
    """RFC 5321 section 4.1.4."""
    names = {"bad.example": REFUSED}
    talk = Place(filters=[Speaks(hello=lambda client: names.get(client.hello))]).connect()
    assert talk.codes("EHLO bad.example", "MAIL FROM:<a@client.example>") == ["550", "503"]
    assert talk.codes("EHLO good.example")[-1] == "250"
    assert talk.protocol.session.client.hello == "good.example"


def test_findings_become_signals_and_header_fields():
    """Of the session on the client, of the transaction on the envelope; fields on top."""
    seen = []
    first = Speaks(
        connected=lambda client: Finding({"rdns": "none"}, ("X-Connect: c",)),
        hello=lambda client: Finding({"helo": client.signals["rdns"]}, ("X-Hello: h",)),
        sender=lambda envelope: Finding({"spf": "fail"}, ("Received-SPF: fail",)),
        recipient=lambda envelope, recipient: Finding({"known": "yes"}),
    )
    second = Speaks(content=lambda envelope, content: seen.append((envelope, content)))
    third = Speaks(content=lambda envelope, content: Finding({"dkim": "none"}, ("X-Content: n",)))
    place = Place(filters=[first, second, third])
    talk = place.greeted()
    talk.mail("bob")
    assert talk.message().startswith("250")
    envelope = place.handed[0][0].message.envelope
    assert envelope.client.signals == {"rdns": "none", "helo": "none"}
    assert envelope.signals == {"spf": "fail", "known": "yes", "dkim": "none"}
    octets = place.stored[0]
    fields = b"X-Connect: c\r\nX-Hello: h\r\nReceived-SPF: fail\r\nX-Content: n\r\n"
    assert octets.endswith(b"\r\n" + fields + b"Subject: hello\r\n\r\nhello\r\n")
    asked, content = seen[0]
    assert asked.signals == {"spf": "fail", "known": "yes"}
    assert content.at_hand.startswith(b"Received: ")
    assert content.at_hand.endswith(b"Received-SPF: fail\r\nSubject: hello\r\n\r\nhello\r\n")


def test_signals_of_hello_are_forgotten_at_the_next_hello():
    """Those of connect stay."""
    place = Place(
        filters=[
            Speaks(
                connected=lambda client: Finding({"a": "1"}),
                hello=lambda client: Finding({client.hello: "2"}),
            )
        ]
    )
    talk = place.greeted(hello="EHLO one")
    talk.say("EHLO two")
    assert talk.protocol.session.client.signals == {"a": "1", "two": "2"}


def test_a_refused_sender_opens_no_transaction():
    """The filters' own words."""
    talk = Place(filters=[Speaks(sender=lambda envelope: REFUSED)]).greeted()
    assert talk.mail("bob") == ["550", "503"]


def test_relay_is_closed_by_default():
    """When nobody speaks, and before any route is asked."""
    place = Place(relay=Open({"bob": None}))
    assert place.greeted().say("MAIL FROM:<>", "RCPT TO:<bob@example.org>")[1:] == [
        "550 5.7.1 Relaying denied"
    ]


def test_a_recipient_needs_relay_then_route_then_filters():
    """Each can refuse; the first one's words count."""
    place = Place(
        relay=Open({"closed": REFUSED}),
        routes=Router({"unknown": NO_SUCH_MAILBOX}),
        filters=[
            Speaks(recipient=lambda envelope, r: LATER if r.address.local == "grey" else None)
        ],
    )
    talk = place.greeted()
    assert talk.mail("closed", "unknown", "grey", "bob") == ["250", "550", "550", "450", "250"]
    assert [str(r.address) for r in talk.protocol.session.transaction.envelope.recipients] == [
        "bob@example.org"
    ]


def test_a_temporary_refusal_wins_over_a_permanent_one():
    """A list of which one member is unknown and one cannot be judged now: 4xx."""
    redirect = Redirect((Mailbox("unknown", "example.org"), Mailbox("broken", "example.org")))
    answers = {"list": redirect, "unknown": NO_SUCH_MAILBOX, "broken": LATER}
    assert Place(routes=Router(answers)).greeted().mail("list") == ["250", "450"]
    answers["broken"] = REFUSED
    assert Place(routes=Router(answers)).greeted().mail("list") == ["250", "550"]


def test_a_recipient_given_twice_is_one_recipient():
    """Both are answered 250; the message goes there once."""
    place = Place()
    talk = place.greeted()
    assert talk.mail("bob", "bob") == ["250"] * 3
    talk.message()
    assert len(place.handed[0][0].pending) == 1


def test_recipients_beyond_the_limit_are_put_off():
    """452 4.5.3, and the others get the message."""
    place = Place(limits=Limits(recipients=2))
    talk = place.greeted()
    assert talk.mail("a", "b", "c") == ["250", "250", "250", "452"]
    assert talk.message().startswith("250")
    assert len(place.handed[0][0].pending) == 2


def test_rcpt_without_end_is_an_error_at_last():
    """Even temporary refusals do not go on for ever."""
    place = Place(limits=Limits(recipients=2, errors=3))
    talk = place.greeted()
    codes = talk.mail(*(str(number) for number in range(20)))
    assert codes == ["250", "250", "250", "452", "452", "452", "452", "452", "421"]
    assert talk.closed


def test_the_envelope_keeps_what_the_client_declared():
    """SIZE, BODY, SMTPUTF8, RET, ENVID, NOTIFY, ORCPT; AUTH= of a stranger is <>."""
    place = Place()
    talk = place.greeted()
    mail = "MAIL FROM:<a@client.example> SIZE=100 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=e1"
    assert talk.codes(
        f"{mail} AUTH=boss@example.org",
        "RCPT TO:<bob@example.org> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;bob@other.example",
    ) == ["250", "250"]
    talk.message()
    envelope = place.handed[0][0].message.envelope
    assert (envelope.size, envelope.body, envelope.smtputf8) == (100, "8BITMIME", True)
    assert (envelope.ret, envelope.envid, envelope.auth) == ("HDRS", "e1", "<>")
    recipient = envelope.recipients[0]
    assert recipient.notify == {"SUCCESS", "FAILURE"}
    assert recipient.orcpt == "rfc822;bob@other.example"
    assert b"with UTF8SMTP\r\n" in place.stored[0]


def test_a_listener_can_require_tls_and_auth():
    """530 at MAIL; everything else is answered."""
    talk = Place(requires=("tls", "auth")).greeted()
    assert talk.say("MAIL FROM:<a@client.example>") == [
        "530 5.7.0 Must issue a STARTTLS command first"
    ]
    talk = Place(requires=("auth",)).greeted()
    assert talk.say("MAIL FROM:<a@client.example>") == ["530 5.7.0 Authentication required"]
    assert talk.codes("NOOP") == ["250"]


def test_a_bug_of_ours_is_a_451_and_the_session_goes_on():
    """With a reference, without the exception's text."""
    place = Place()
    talk = place.greeted()
    place.reception.shared.hooks.__dict__["sender"] = None  # not callable
    (reply,) = talk.say("MAIL FROM:<a@client.example>")
    assert reply.startswith("451 4.3.0 Local error, try again later (ref ")
    del place.reception.shared.hooks.__dict__["sender"]
    assert talk.mail("bob") == ["250", "250"]


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        (IPv4Address("TCP", "192.0.2.1", 1), "192.0.2.1"),
        (IPv6Address("TCP", "2001:db8:0::1", 1), "2001:db8::1"),
        (IPv6Address("TCP", "::ffff:192.0.2.1", 1), "192.0.2.1"),
        (IPv6Address("TCP", "fe80::1%eth0", 1), "fe80::1"),
        (UNIXAddress(b"/run/x"), "unix"),
    ],
)
def test_the_clients_address(peer, address):
    """Without zone, IPv4 as such, "unix" for a unix socket."""
    talk = Place().connect(peer)
    client = talk.protocol.session.client
    assert client.address == address
    assert client.listener == "mx"
    assert talk.wire.no_delay == (address != "unix")


def test_observers_see_the_session():
    """Connected, refused commands, accepted, disconnected."""
    watching = Watching()
    place = Place(observers=[watching])
    talk = place.greeted()
    talk.say("BLURB")
    talk.mail("bob")
    talk.message()
    talk.say("QUIT")
    verdicts = watching.verdicts("session")
    assert verdicts == ["connected", "500 5.5.1 Command not recognized", "disconnected"]
    (accepted,) = [event for event in watching.events if event.stage == "reception"]
    assert accepted.verdict == "accepted"
    assert accepted.id == place.handed[0][0].id
    assert accepted.facts["recipients"] == ["bob@example.org"]
    assert accepted.facts["size"] == len(b"Subject: hello\r\n\r\nhello\r\n")


def _ends(watching):
    """What was told last of each message, by its id, and the facts of the path."""
    ends = {event.id: event for event in watching.events if event.id}
    return [
        (event.verdict, event.facts.get("sender"), event.facts.get("recipient"))
        for event in ends.values()
    ]


ALICE = "alice@client.example"


def test_observers_see_the_end_of_refused_mail():
    """The message's id is told with the refusal of its sender, a recipient, or its content."""
    watching, no = Watching(), Reply(550, "Not that", "5.7.1")
    refuses = Speaks(
        sender=lambda envelope: no if envelope.sender.local == "mallory" else None,
        recipient=lambda envelope, recipient: no if recipient.address.local == "eve" else None,
        content=lambda envelope, content: no,
    )
    talk = Place(observers=[watching], filters=[refuses]).greeted()
    talk.say("MAIL FROM:<mallory@client.example>")
    talk.mail("eve")
    talk.say("RSET")
    talk.mail("bob")
    talk.message()
    assert _ends(watching) == [
        ("550 5.7.1 Not that", "mallory@client.example", None),
        ("abandoned", ALICE, None),
        ("550 5.7.1 Not that", ALICE, None),
    ]
    last = watching.events[-1]
    assert (last.stage, last.facts["command"]) == ("session", "contentend")
    refused = [event for event in watching.events if event.facts.get("command") == "rcpt"]
    assert [event.facts["recipient"] for event in refused] == ["eve@example.org"]
    talk.say("BLURB")
    assert watching.events[-1].id == "", "the message was over"


def test_observers_see_mail_that_is_given_up():
    """By a command, or by the end of the session."""
    for ends in ("RSET", "EHLO again.example", "QUIT"):
        watching = Watching()
        talk = Place(observers=[watching]).greeted()
        talk.mail("bob")
        talk.say(ends)
        assert _ends(watching) == [("abandoned", ALICE, None)]
    watching = Watching()
    talk = Place(observers=[watching]).greeted()
    talk.mail("bob")
    talk.disconnect()
    assert _ends(watching) == [("disconnected", None, None)]


def test_observers_see_the_sender_that_a_listener_refuses():
    """Before there is a message, and so without an id."""
    watching = Watching()
    talk = Place(observers=[watching], requires=("auth",)).greeted()
    talk.say("MAIL FROM:<alice@client.example>")
    told = watching.events[-1]
    assert (told.id, told.facts["sender"]) == ("", ALICE)


def test_a_bug_at_connect_is_a_421():
    """The connection closes; the log has the cause."""
    place = Place()
    place.hooks.__dict__["connected"] = None  # not callable
    talk = place.connect()
    assert talk.greeting[0].startswith("421 4.3.0 Local error, try again later (ref ")
    assert talk.closed


def test_a_bug_in_the_content_is_a_451_at_its_end():
    """What follows is consumed, and the session goes on."""
    place = Place()
    talk = place.greeted()
    talk.mail("bob")
    talk.say("DATA")
    talk.protocol.session.transaction._scan = object()  # has no `ended`
    assert talk.say("Subject: x") == []
    assert talk.codes("", "RSET", ".") == ["451"]
    assert place.store.drafts[0].aborted
    assert talk.mail("bob") == ["250", "250"]


@pytest.mark.parametrize("strict", [False, True])
def test_odd_spellings_are_taken_unless_the_listener_is_strict(strict):
    """`strict` in [[listen]]: the letter of RFC 5321; or else what other hosts take, too."""
    place = Place(strict=strict)
    talk = place.connect()
    assert talk.codes("EHLO my computer (x)")[0] == ("501" if strict else "250")
    sender, odd = f"bounces+{'7' * 80}@web_server.example", "john..doe@example.org"
    if strict:
        talk.say("EHLO client.example")
        assert talk.codes(f"MAIL FROM:<{sender}>", "MAIL FROM:a@b.example") == ["501", "501"]
        return
    assert talk.codes(f"MAIL FROM:<{sender}>", f"RCPT TO:{odd}") == ["250", "250"]
    assert talk.message().startswith("250")
    message = place.handed[0][0].message
    assert str(message.envelope.sender) == sender
    assert message.envelope.recipients[0].address == Mailbox("john..doe", "example.org")
    received = message.content.at_hand.partition(b"\r\n\t")[0]
    assert received == b"Received: from my?computer??x? ([192.0.2.7])"


def test_a_listener_may_take_bare_lfs():
    """`bare_lf` in [[listen]]: "normalize" makes CRLF of LF, "refuse" is the default."""
    for bare_lf in ("normalize", "refuse"):
        place = Place(bare_lf=bare_lf)
        talk = place.greeted()
        talk.mail("bob")
        talk.say("DATA")
        talk.send(b"Subject: x\n\nhello\n\r\n.\r\n")
        assert talk.codes() == ["250" if bare_lf == "normalize" else "554"]
        assert [body[-24:] for body in place.stored] == (
            [b"\nSubject: x\r\n\r\nhello\r\n\r\n"] if bare_lf == "normalize" else []
        )


def test_every_event_has_an_answer() -> None:
    """One that was forgotten would be a 451 at run time."""
    assert set(_ANSWERS) == set(get_args(Event))
