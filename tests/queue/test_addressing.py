"""One entry for an address in a message, however many of its recipients stand for it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from queue_kit import BUSY, TIMES, House, status_fields
from twisted.logger import capturedLogs

from mailframe.message import Recipient, Redirect, Status
from mailframe.message.notify import merged_notify
from mailframe.smtp.reply import OK, Reply
from mailframe.testing.values import mailbox, recipient

NEVER, FAILURE = frozenset({"NEVER"}), frozenset({"FAILURE"})
DELAY, SUCCESS = frozenset({"DELAY"}), frozenset({"SUCCESS"})


def lists(house, **members):
    """Lists of here.example by name, whatever the tag."""
    ask = house.router.route

    def route(envelope, recipient):
        name, domain = recipient.address.local.partition("+")[0], recipient.address.domain
        if domain == "here.example" and name in members:
            house.router.asked.append(str(recipient.address))
            return Redirect(tuple(map(mailbox, members[name])))
        return ask(envelope, recipient)

    house.hooks.routes[0].plugin.route = route
    house.hooks.__dict__.pop("_questions", None)
    house.hooks.__dict__.pop("_by_listener", None)


def people(count, domain="far.example"):
    return [f"u{number}@{domain}" for number in range(count)]


def test_two_hundred_spellings_of_a_list_are_one_list():
    """200 tags x 1,000 members: 1,000 entries, each asked about once."""
    house = House()
    lists(house, big=people(1000))
    house.agent.answers["far.example"] = (Status.DEFERRED, BUSY, "mx")
    house.send(*[f"big+{number}@here.example" for number in range(200)], sender=None)
    assert len(house.pending()) == 1000
    assert len(house.router.asked) == 1200
    house.agent.answers.clear()
    house.wait(120)
    assert sorted(house.agent.delivered) == sorted(people(1000))


def test_what_stands_for_more_than_may_be_waits_until_it_is_less():
    """Lists that have no one in common come in turn; none is lost, and the log says so."""
    house = House()
    object.__setattr__(house.hooks, "expansion", 100)
    lists(house, a=people(60, "a.example"), b=people(60, "b.example"), c=people(30, "c.example"))
    house.agent.answers["dead@far.example"] = (Status.DEFERRED, BUSY, "mx")
    with capturedLogs() as logged:
        house.send("dead@far.example", *[f"{name}@here.example" for name in "abc"])
    assert len(house.agent.delivered) == 90
    assert [event["most"] for event in logged if "most" in event] == [100]
    waits = {str(each.recipient.address): each for each in house.pending()}
    assert (waits["b@here.example"].last.code, waits["b@here.example"].attempts) == (452, 0)
    house.wait(120)
    assert len(house.agent.delivered) == 150
    assert [str(each.recipient.address) for each in house.pending()] == ["dead@far.example"]


def test_members_that_wait_do_not_keep_another_list():
    """A few that are deferred leave room for all that fits beside them."""
    house = House()
    object.__setattr__(house.hooks, "expansion", 100)
    lists(house, a=people(60, "a.example"), b=people(60, "b.example"))
    house.agent.answers["u3@a.example"] = (Status.DEFERRED, BUSY, "mx")
    house.send("a@here.example", "b@here.example")
    house.wait(120)
    assert len(house.agent.delivered) == 119


def test_who_wants_to_be_told_is_told():
    """Of two entries for one address, what both ask for is done: NEVER does not silence all."""
    house = House()
    lists(house, a=["bob@far.example", "x@far.example"], b=["bob@far.example", "y@far.example"])
    house.agent.answers["bob@far.example"] = (Status.FAILED, Reply(550, "No", "5.1.1"), "mx")
    quiet = recipient("a@here.example", notify=NEVER)
    loud = recipient("b@here.example", notify=FAILURE)
    house.send(quiet, loud)
    ((_, report),) = house.reports()
    assert [each["Final-Recipient"] for each in status_fields(report)] == ["rfc822;bob@far.example"]


def test_a_member_that_is_a_recipient_too_has_one_entry():
    """In whichever order they come, and though one of them waits for a later attempt."""
    for order in (("all@here.example", "u1@far.example"), ("u1@far.example", "all@here.example")):
        house = House()
        lists(house, all=people(3))
        house.agent.answers["u1@far.example"] = (Status.DEFERRED, BUSY, "mx")
        house.send(*order)
        assert [str(each.recipient.address) for each in house.pending()] == ["u1@far.example"]
        assert house.agent.delivered == ["u0@far.example", "u2@far.example"]
        house.agent.answers["u1@far.example"] = (Status.RELAYED, OK)
        house.wait(120)
        assert house.queued() == []


def test_a_list_that_comes_later_finds_who_waits():
    """Routes that could not be asked at first: the member that is deferred stays one entry."""
    house = House(replace(TIMES, waits=(60.0, 600.0)))
    house.router.answers["all@here.example"] = Reply(451, "Not now", "4.3.0")
    house.agent.answers["u1@far.example"] = (Status.DEFERRED, BUSY, "mx", 300.0)
    house.send("all@here.example", "u1@far.example")
    house.router.answers.clear()
    lists(house, all=people(3))
    house.wait(60)
    assert [str(each.recipient.address) for each in house.pending()] == ["u1@far.example"]


@pytest.mark.parametrize(
    ("first", "second", "both"),
    [
        (None, None, None),
        (None, NEVER, None),
        (None, FAILURE, None),
        (NEVER, NEVER, NEVER),
        (NEVER, SUCCESS, SUCCESS),
        (FAILURE, DELAY, FAILURE | DELAY),
        (None, SUCCESS, SUCCESS | FAILURE | DELAY),
    ],
)
def test_what_is_asked_for_together(first, second, both):
    """RFC 3461 section 4.1: no parameter asks for failures and delays."""
    assert merged_notify(first, second) == both
    assert merged_notify(second, first) == both


def test_the_recipients_of_a_message_are_asked_about_in_turns():
    """A thousand of 1 ms each: others have theirs after every ten."""
    house = House()
    ask = house.router.route

    def route(envelope, recipient):
        house.clock.rightNow += 0.001
        return ask(envelope, recipient)

    house.router.route = route
    house.hooks.__dict__.pop("_questions", None)
    house.hooks.__dict__.pop("_by_listener", None)
    house.send(*people(1000))
    assert len(house.router.asked) <= 12
    house.clock.advance(0)
    assert len(house.router.asked) == 1000
    assert sorted(house.agent.delivered) == sorted(people(1000))


def test_recipients_that_differ_have_hashes_of_their_own():
    """Two hundred ways to one address are no collision."""
    ways = {
        hash(Recipient(mailbox("a@x.example"), came_from=(mailbox(f"l+{number}@x.example"),)))
        for number in range(200)
    }
    assert len(ways) == 200


def copies(house):
    """(recipient, the lines above Received:) of what was given to the agent."""
    return [
        (str(route.recipient.address), message.content.prefix.partition(b"Received:")[0])
        for message, routes in house.agent.calls
        for route in routes
        if message.envelope.sender is not None
    ]


def test_copies_of_an_alias_bear_its_mark():
    """Each alias on the way to another host, and nothing for who was written to directly."""
    house = House()
    lists(house, loop=["a@peer1.example", "team@here.example"], team=["b@peer2.example"])
    house.send("loop@here.example", "c@peer2.example")
    assert sorted(copies(house)) == [
        ("a@peer1.example", b"Delivered-To: loop@here.example\r\n"),
        ("b@peer2.example",
         b"Delivered-To: loop@here.example\r\nDelivered-To: team@here.example\r\n"),
        ("c@peer2.example", b""),
    ]  # fmt: skip


def test_what_comes_back_to_an_alias_ends_there():
    """Two members that forward back would double the mail at every round."""
    house = House()
    lists(house, loop=["a@peer1.example", "b@peer2.example"])
    house.send("loop@here.example")
    rounds = 1
    for address, mark in copies(house):
        house.send("loop@here.example", id=f"B-{address}", body=mark + b"\r\nx\r\n")
        rounds += 1
    assert rounds == 3
    assert len(copies(house)) == 2
    assert [status_fields(report)[0]["Status"] for _, report in house.reports()] == ["5.4.6"] * 2


def test_only_the_branch_that_comes_back_ends():
    """Of a list that holds another, the members of the one that it has not been at get it."""
    house = House()
    lists(house, all=["team@here.example", "c@peer.example"], team=["b@peer.example"])
    house.send("all@here.example", body=b"Delivered-To: TEAM@here.example\r\n\r\nx\r\n")
    assert house.agent.delivered[:1] == ["c@peer.example"]
    assert "b@peer.example" not in house.agent.delivered


def test_a_mark_of_somebody_else_is_no_loop():
    """Nor is one of the mailbox itself that another host keeps."""
    house = House()
    lists(house, all=["b@peer.example"])
    body = b"Delivered-To: b@peer.example\r\nDelivered-To: x@here.example\r\n\r\nx\r\n"
    house.send("all@here.example", "c@peer.example", body=body)
    assert sorted(house.agent.delivered) == ["b@peer.example", "c@peer.example"]


def test_a_recipient_that_was_given_twice_is_one():
    """It waits on if it is put off, whether it is an address, a list or told of otherwise."""
    for twin in (None, NEVER, frozenset({"FAILURE", "DELAY"})):
        house = House()
        lists(house, team=people(2))
        house.agent.answers["far.example"] = (Status.DEFERRED, BUSY, "mx")
        twins = recipient("bob@far.example"), replace(recipient("bob@far.example"), notify=twin)
        with capturedLogs() as logged:
            house.send(*twins, "team@here.example", "team@here.example")
        waiting = sorted(str(each.recipient.address) for each in house.pending())
        assert waiting == sorted(["bob@far.example", *people(2)]), twin
        assert not [each for each in logged if "log_failure" in each]
        house.agent.answers.clear()
        house.wait(120)
        assert sorted(house.agent.delivered) == waiting and not house.queued()


def test_a_report_to_the_owner_of_a_list_who_is_on_it_ends():
    """It keeps the null reverse-path, and nobody is told of it: no reports of reports."""
    house = House()
    owner, ask = mailbox("owner-team@here.example"), house.router.route

    def route(envelope, recipient):
        if recipient.address == owner:
            return Redirect((mailbox("team@here.example"),))
        if recipient.address == mailbox("team@here.example"):
            return Redirect((mailbox("gone@far.example"), mailbox("bob@far.example")), owner)
        return ask(envelope, recipient)

    house.hooks.routes[0].plugin.route = route
    house.hooks.__dict__.pop("_questions", None)
    house.agent.answers["gone@far.example"] = (Status.FAILED, Reply(550, "Gone", "5.1.1"), "mx")
    house.send("team@here.example")
    house.wait(600)
    assert not house.queued()
    assert house.agent.delivered == ["bob@far.example"] * 2  # the message, and one report
    assert [message.envelope.sender for message, _ in house.agent.calls] == [owner, None]
