"""Redirects: followed to their ends, loops found, nobody lost and nobody served twice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mailframe.hooks import Routing
from mailframe.hooks.expansion import LOOP, MAX_DEPTH, TOO_DEEP
from mailframe.hooks.routing import MAX_ADDRESSES
from mailframe.message import Recipient, Redirect, Route
from mailframe.smtp.address import Mailbox
from mailframe.smtp.reply import NO_SUCH_DOMAIN, NO_SUCH_MAILBOX, Reply
from mailframe.testing.hooks import Remembered, compose_hooks, result_of
from mailframe.testing.values import envelope, mailbox, recipient


class Aliases:
    """Redirects by a table, whatever the case of the local part."""

    def __init__(self, table: Mapping[str, list[str]], owner: str | None = None) -> None:
        self.table = table
        self.owner = mailbox(owner) if owner else None
        self.asked: list[str] = []

    def route(self, envelope: Any, recipient: Recipient) -> Redirect | None:
        self.asked.append(str(recipient.address))
        found = self.table.get(str(recipient.address).lower())
        return Redirect(tuple(map(mailbox, found)), self.owner) if found else None


class Mailboxes:
    """Everybody at example.org but "nobody" has a mailbox; none elsewhere."""

    def route(self, envelope: Any, recipient: Recipient) -> Any:
        if recipient.address.domain != "example.org":
            return None
        if recipient.address.local == "nobody":
            return NO_SUCH_MAILBOX
        return Route("maildir", mailbox=recipient.address)


def routed(to: str | Recipient, table: Mapping[str, list[str]], **more: Any) -> Routing:
    hooks = compose_hooks(routes=[Aliases(table, **more), Mailboxes()])
    asked = to if isinstance(to, Recipient) else recipient(to)
    return result_of(hooks.route(envelope(), asked))


def ends(routing: Routing) -> list[str]:
    """Where the mail goes."""
    return [str(route.recipient.address) for route in routing.routes if route.recipient]


def refused(routing: Routing) -> list[tuple[str, int]]:
    return [(str(each.address), reply.code) for each, reply in routing.refusals]


def test_a_route_is_for_who_was_asked_about() -> None:
    """The hooks fill in the recipient."""
    bob = recipient("bob@example.org")
    assert routed(bob, {}) == Routing((Route("maildir", recipient=bob, mailbox=bob.address),), ())


def test_nobody_speaks() -> None:
    """A domain that no router knows is refused: 550 5.1.2."""
    to = recipient("bob@elsewhere.example")
    assert routed(to, {}) == Routing((), ((to, NO_SUCH_DOMAIN),))


def test_a_list_reaches_all_once() -> None:
    """Members of two lists get one copy, and know the way that they were reached."""
    table = {
        "all@example.org": ["team@example.org", "boss@example.org"],
        "team@example.org": ["ann@example.org", "boss@example.org"],
    }
    routing = routed("all@example.org", table)
    assert ends(routing) == ["boss@example.org", "ann@example.org"]
    assert not routing.refusals
    ann = routing.routes[1].recipient
    assert ann is not None
    assert [str(each) for each in ann.came_from] == ["all@example.org", "team@example.org"]
    assert str(ann.original) == "all@example.org"


def test_an_alias_that_lists_itself_keeps_a_copy() -> None:
    """The routers after the one that redirected say where its own copy goes."""
    for spelling in ("bob@example.org", "Bob@example.org"):
        routing = routed(spelling, {"bob@example.org": ["bob@example.org", "eve@example.org"]})
        assert ends(routing) == ["bob@example.org", "eve@example.org"]
        assert not routing.refusals


def test_a_kept_copy_that_waited_is_not_expanded_again() -> None:
    """Asked anew at a later attempt it goes to the mailbox alone: eve has had her copy."""
    table = {"bob@example.org": ["bob@example.org", "eve@example.org"]}
    kept = routed("bob@example.org", table).routes[0].recipient
    assert kept is not None
    again = routed(kept, table)
    assert ends(again) == ["bob@example.org"]
    assert not again.refusals


def test_a_loop_is_refused_and_the_rest_goes_on() -> None:
    """554 5.4.6 for the branch that comes back; who is not on it gets the mail."""
    table = {
        "a@example.org": ["b@example.org", "c@example.org"],
        "b@example.org": ["a@example.org"],
    }
    routing = routed("a@example.org", table)
    assert ends(routing) == ["c@example.org"]
    assert routing.refusals[0][1] == LOOP
    assert refused(routing) == [("a@example.org", 554)]


def test_those_that_stand_only_for_each_other_are_refused() -> None:
    """A ring that is met from two sides is no way for mail to get lost unsaid."""
    table = {
        "r@example.org": ["x@example.org", "y@example.org"],
        "x@example.org": ["y@example.org"],
        "y@example.org": ["x@example.org"],
    }
    assert refused(routed("r@example.org", table)) == [
        ("r@example.org", 554), ("x@example.org", 554), ("y@example.org", 554)
    ]  # fmt: skip
    table["x@example.org"] = ["y@example.org", "z@example.org"]
    routing = routed("r@example.org", table)
    assert (ends(routing), refused(routing)) == (["z@example.org"], [])


def test_refusals_of_members_are_collected() -> None:
    """One bad address on a list does not keep mail from the others."""
    table = {"all@example.org": ["nobody@example.org", "ann@example.org", "x@away.example"]}
    routing = routed("all@example.org", table)
    assert ends(routing) == ["ann@example.org"]
    assert refused(routing) == [("nobody@example.org", 550), ("x@away.example", 550)]


def test_a_chain_has_an_end() -> None:
    """So many redirects one after the other are no accident."""
    table = {f"a{n}@example.org": [f"a{n + 1}@example.org"] for n in range(100)}
    assert ends(routed(f"a{100 - MAX_DEPTH}@example.org", table)) == ["a100@example.org"]
    deep = routed("a0@example.org", table)
    assert [reply for _, reply in deep.refusals] == [TOO_DEEP] and not deep.routes


def test_a_list_has_a_size() -> None:
    """One recipient that stands for more than 5,000 is refused as a whole."""
    members = [f"m{n}@example.org" for n in range(MAX_ADDRESSES + 1)]
    to = recipient("all@example.org")
    too_many = Reply(550, "Stands for more than 5000 addresses", "5.2.4")
    assert routed(to, {"all@example.org": members}) == Routing((), ((to, too_many),))
    assert len(routed(to, {"all@example.org": members[2:]}).routes) == MAX_ADDRESSES - 1


def test_one_forwarding_address_inherits_the_dsn_parameters() -> None:
    """RFC 3461 section 5.2.7.2."""
    notify = frozenset({"SUCCESS", "DELAY"})
    to = recipient("a@example.org", notify=notify, orcpt="rfc822;a@example.org")
    (route,) = routed(to, {"a@example.org": ["b@example.org"]}).routes
    assert route.recipient is not None
    assert (route.recipient.notify, route.recipient.orcpt) == (notify, "rfc822;a@example.org")
    assert route.recipient.sender is None


def test_of_several_none_reports_success_again() -> None:
    """RFC 3461 section 5.2.7.3: the expansion is the success; NEVER where nothing remains."""
    for given, passed_on in [
        ({"SUCCESS", "FAILURE"}, {"FAILURE"}),
        ({"SUCCESS"}, {"NEVER"}),
        ({"DELAY"}, {"DELAY"}),
    ]:
        to = recipient("a@example.org", notify=frozenset(given), orcpt="rfc822;a@example.org")
        routing = routed(to, {"a@example.org": ["b@example.org", "c@example.org"]})
        for route in routing.routes:
            assert route.recipient is not None
            assert route.recipient.notify == passed_on
            assert route.recipient.orcpt == "rfc822;a@example.org"


def test_a_list_with_a_reverse_path_of_its_own_keeps_the_parameters() -> None:
    """RFC 3461 section 5.2.7.1: reports go to the owner, NOTIFY and ORCPT end at the list."""
    table = {"all@example.org": ["team@example.org"], "team@example.org": ["ann@example.org"]}
    to = recipient("all@example.org", notify=frozenset({"NEVER"}), orcpt="rfc822;x@y.example")
    (route,) = routed(to, table, owner="owner@example.org").routes
    assert route.recipient is not None
    assert route.recipient.sender == Mailbox("owner", "example.org")
    assert (route.recipient.notify, route.recipient.orcpt) == (None, None)


def test_every_step_is_told() -> None:
    """Redirected, routed, refused: with the plugin that said so."""
    seen = Remembered()
    table = {"a@example.org": ["b@example.org", "x@away.example", "a@example.org"]}
    hooks = compose_hooks(routes=[Aliases(table), Mailboxes()], observers=[seen])
    hooks.route(envelope(), recipient("a@example.org"))
    assert [(event.plugin, event.verdict, event.facts["recipient"]) for event in seen.events] == [
        ("aliases", "redirected", "a@example.org"),
        ("mailboxes", "routed", "b@example.org"),
        ("", str(NO_SUCH_DOMAIN), "x@away.example"),
        ("mailboxes", "routed", "a@example.org"),
    ]
    assert seen.events[0].facts["addresses"] == 3
