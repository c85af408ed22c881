"""What a recipient stands for costs no more than it must, and never all at once."""

from __future__ import annotations

from itertools import pairwise
from typing import Any
from unittest import mock

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from mailframe.eventual import TURN
from mailframe.hooks import Hooks, Routing
from mailframe.hooks.expansion import ASKED, LOOP
from mailframe.message import Recipient, Redirect, Route
from mailframe.smtp.address import Mailbox
from mailframe.smtp.reply import NO_SUCH_MAILBOX
from mailframe.testing.hooks import compose_hooks, result_of
from mailframe.testing.values import envelope, mailbox, recipient


class Router:
    """Lists by their names, whatever the tag; of the others nobody is known but the `good`."""

    def __init__(self, lists: dict[str, list[str]], good: Any = (), owner: str = "") -> None:
        self.lists = {
            name: Redirect(tuple(map(mailbox, members)), mailbox(owner) if owner else None)
            for name, members in lists.items()
        }
        self.good = good
        self.asked: list[str] = []
        self.cost = 0.0
        self.clock = Clock()

    def route(self, envelope: Any, recipient: Recipient) -> Any:
        self.asked.append(str(recipient.address))
        self.clock.rightNow += self.cost
        found = self.lists.get(recipient.address.local.partition("+")[0])
        if found is not None:
            return found
        known = str(recipient.address) in self.good
        return Route("maildir", mailbox=recipient.address) if known else NO_SUCH_MAILBOX


def members(count: int) -> list[str]:
    return [f"m{number}@example.org" for number in range(count)]


def hooks_of(router: Router) -> Hooks:
    return compose_hooks(routes=[router], reactor=router.clock)


def accepted(router: Router, to: str) -> Routing:
    return result_of(hooks_of(router).accepts(envelope(), recipient(to)))


def test_at_rcpt_one_member_is_enough() -> None:
    """The first that has a route; thousands behind it are not asked about."""
    everybody = members(4900)
    router = Router({"big": everybody}, good=everybody)
    routing = accepted(router, "big+1@example.org")
    assert [route.agent for route in routing.routes] == ["maildir"] and not routing.refusals
    assert router.asked == ["big+1@example.org", "m0@example.org"]


def test_at_rcpt_one_good_member_is_found() -> None:
    """Behind some that are refused."""
    router = Router({"team": members(20)}, good=["m15@example.org"])
    routing = accepted(router, "team@example.org")
    assert len(routing.routes) == 1 and not routing.refusals
    assert len(router.asked) == 17


def test_at_rcpt_a_list_of_nobody_is_refused() -> None:
    """All are asked about, if they are few."""
    routing = accepted(Router({"team": members(3)}), "team@example.org")
    assert not routing.routes
    assert [reply for _, reply in routing.refusals] == [NO_SUCH_MAILBOX] * 3
    assert [reply for _, reply in accepted(Router({}), "x@example.org").refusals] == [
        NO_SUCH_MAILBOX
    ]


def test_at_rcpt_so_many_are_asked_about_and_no_more() -> None:
    """A long list whose first members are gone is believed to have others."""
    router = Router({"big": members(4900)})
    assert accepted(router, "big@example.org") == Routing((), ())
    assert len(router.asked) == ASKED + 1
    router = Router({"big": members(ASKED)})
    assert len(accepted(router, "big@example.org").refusals) == ASKED


def test_at_rcpt_what_is_too_long_or_a_ring_is_refused() -> None:
    """As it would be later."""
    router = Router({"big": members(5001), "a": ["b@example.org"], "b": ["a@example.org"]})
    [(_, reply)] = accepted(router, "big@example.org").refusals
    assert (reply.code, reply.status) == (550, "5.2.4")
    assert router.asked == ["big@example.org"]
    assert [reply for _, reply in accepted(router, "a@example.org").refusals] == [LOOP]


def test_what_takes_long_lets_others_have_their_turn() -> None:
    """5,000 members of 1 ms each: no turn is longer than it may be by more than one member."""
    everybody = members(4900)
    router = Router({"big": everybody}, good=everybody)
    router.cost = 0.001
    clock = router.clock
    routing = hooks_of(router).route(envelope(), recipient("big@example.org"))
    assert isinstance(routing, Deferred)
    turns = [clock.seconds()]
    pause = clock.callLater

    def noted(*arguments: Any) -> Any:
        turns.append(clock.seconds())
        return pause(*arguments)

    with mock.patch.object(clock, "callLater", noted):
        clock.advance(0)
    assert max(end - start for start, end in pairwise(turns)) <= TURN + 0.002
    assert len(turns) > 400
    assert len(result_of(routing).routes) == 4900


def test_a_pause_can_be_cancelled() -> None:
    """The attempt at the message ends: nothing is left behind."""
    router = Router({"big": members(100)})
    router.cost = 0.01
    routing = hooks_of(router).route(envelope(), recipient("big@example.org"))
    assert isinstance(routing, Deferred)
    routing.addErrback(lambda failure: None)
    routing.cancel()
    assert router.clock.getDelayedCalls() == []


def test_what_the_message_has_already_is_not_asked_about() -> None:
    """Unless more is asked for it by NOTIFY: then it is named."""
    everybody = members(50)
    router = Router({"all": everybody}, good=everybody)
    hooks = hooks_of(router)
    known: dict[tuple[Mailbox, Mailbox | None], frozenset[str] | None]
    known = {(mailbox(each), None): None for each in everybody[1:]}
    again = recipient("all+2@example.org")
    routing = result_of(hooks.route(envelope(), again, known=known))
    assert len(routing.routes) == 1 and routing.repeated == ()
    assert router.asked == ["all+2@example.org", "m0@example.org"]
    known = dict.fromkeys(known, frozenset({"NEVER"}))
    routing = result_of(hooks.route(envelope(), again, known=known))
    assert [str(each.address) for each in routing.repeated] == everybody[1:]


def test_copies_of_another_reverse_path_are_others() -> None:
    """A list's copies are in its owner's name: who has the message otherwise gets them, too."""
    router = Router({"all": members(3)}, good=members(3), owner="owner@example.org")
    known = {(mailbox(each), None): None for each in members(3)}
    to = recipient("all@example.org")
    routing = result_of(hooks_of(router).route(envelope(), to, known=known))
    assert len(routing.routes) == 3
