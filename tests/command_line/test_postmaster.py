"""RFC 5321 section 4.5.1: somebody reads the postmaster's mail, or the operator hears of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from zope.interface import implementer

from mailframe.command_line.postmaster import MOST_DOMAINS, Unread, ask
from mailframe.hooks import Bound, Hooks
from mailframe.interfaces import ILocalDomains, IObserver, IRouter
from mailframe.message import Redirect, Route
from mailframe.plugin import NoSettings
from mailframe.settings import Listener
from mailframe.smtp.address import Mailbox
from mailframe.smtp.reply import LOCAL_ERROR, NO_SUCH_MAILBOX, RECIPIENT_OK
from mailframe.testing.values import site
from mailframe_plugins.relay_authenticated import Authenticated

MX, INSIDE = Listener("mx", "tcp:25"), Listener("inside", "tcp:24")


@implementer(ILocalDomains)
class Ours:
    def __init__(self, *names: str) -> None:
        self.names = names

    def domains(self) -> Iterable[str]:
        return self.names

    def judge(self, envelope: Any, recipient: Any) -> Any:
        return RECIPIENT_OK


@implementer(IRouter)
class Answers:
    """What it says by domain; NO_SUCH_MAILBOX elsewhere."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.listeners: list[str] = []

    def route(self, envelope: Any, recipient: Any) -> Any:
        assert recipient.address.local == "postmaster"
        assert envelope.sender is None
        self.listeners.append(envelope.client.listener)
        return self.answers.get(recipient.address.domain.partition(".")[0], NO_SUCH_MAILBOX)


@implementer(IObserver)
class Nosy:
    wants = None

    def observe(self, event: Any) -> None:
        raise AssertionError(event)


def hooks(router: Answers, *relays: Bound) -> Hooks:
    return Hooks(
        reactor=Clock(),
        relay=relays,
        routes=(Bound("route", "answers", router),),
        observers=(Bound("observe", "nosy", Nosy()),),
    )


def asked(hooks: Hooks) -> tuple[list[Unread], list[Deferred[None]]]:
    found: list[Unread] = []
    return found, ask(hooks, (MX, INSIDE), found.append)


def test_only_where_the_postmaster_is_refused_for_good() -> None:
    """A route, a redirect and what may be well later are no matter; observers hear nothing."""
    router = Answers(
        routed=Route("maildir"),
        elsewhere=Redirect((Mailbox("postmaster", "routed.example"),)),
        later=LOCAL_ERROR,
    )
    names = ("routed.example", "elsewhere.example", "later.example", "refused.example")
    found, waiting = asked(hooks(router, Bound("relay", "inbound", Ours(*names))))
    assert found == [Unread(0, "refused.example", NO_SUCH_MAILBOX)]
    assert str(found[0]).startswith("mail for postmaster@refused.example is refused (550 5.1.1 ")
    assert not waiting


def test_each_relay_is_asked_about_at_a_listener_of_its_own() -> None:
    """Routes may be for some listeners only."""
    router = Answers()
    relays = (
        Bound("relay", "authenticated", Authenticated(NoSettings(), site())),
        Bound("relay", "inbound", Ours("a.example"), on=frozenset({"inside"})),
        Bound("relay", "inbound", Ours("b.example")),
    )
    found, _ = asked(hooks(router, *relays))
    assert [(each.relay, each.domain) for each in found] == [(1, "a.example"), (2, "b.example")]
    assert router.listeners == ["inside", "mx"]


def test_what_takes_its_time_is_heard_later_or_not_at_all() -> None:
    """A Deferred that fires is judged, one that is cancelled is not, and none fails."""
    first, second = Deferred[Any](), Deferred[Any]()
    router = Answers(first=first, second=second)
    relay = Bound("relay", "inbound", Ours("first.example", "second.example"))
    found, waiting = asked(hooks(router, relay))
    assert not found
    first.callback(NO_SUCH_MAILBOX)
    waiting[1].cancel()
    assert [each.domain for each in found] == ["first.example"]
    assert all(each.called for each in waiting)


def test_a_great_many_domains() -> None:
    """The first thousand are asked about."""
    names = (f"d{number}.example" for number in range(MOST_DOMAINS * 2))
    found, _ = asked(hooks(Answers(), Bound("relay", "inbound", Ours(*names))))
    assert len(found) == MOST_DOMAINS
