"""Hooks: how the answers of several plugins become one, and what is told of it."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.cred.checkers import ANONYMOUS, InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.credentials import UsernamePassword
from twisted.cred.error import UnauthorizedLogin, UnhandledCredentials
from twisted.internet.defer import Deferred, fail, succeed

from mailframe.hooks import Bound, Filtered
from mailframe.message import Finding, Message, Outcome, Recipient, Route, Status
from mailframe.plugin import Filter
from mailframe.smtp.reply import (
    AUTH_FAILED,
    NO_DELIVERY,
    NO_SUCH_MAILBOX,
    OK,
    RECIPIENT_OK,
    RELAYING_DENIED,
    Reply,
)
from mailframe.testing.hooks import Remembered, compose_hooks, result_of
from mailframe.testing.values import client, content, envelope, message, recipient

REFUSED = Reply(550, "Not you", "5.7.1")


class Policy:
    """Answers what it was made with, and counts."""

    def __init__(self, answer: Any = None) -> None:
        self.answer = answer
        self.asked = 0

    def judge(self, envelope: Any, recipient: Any) -> Any:
        self.asked += 1
        return self.answer


class Shape(Filter):
    """A filter that answers at MAIL, and remembers what it was shown."""

    def __init__(self, answer: Any = None) -> None:
        self.answer = answer
        self.shown: list[Any] = []

    def sender(self, envelope: Any) -> Any:
        self.shown.append(envelope)
        return self.answer


class Checker:
    """A credentials checker that answers what it was made with, or raises it."""

    credentialInterfaces = ()

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def requestAvatarId(self, credentials: Any) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Agent:
    """A delivery agent made of a function."""

    def __init__(self, deliver: Any) -> None:
        self.deliver = deliver


def judged(*policies: Any, **more: Any) -> Reply:
    return result_of(compose_hooks(relay=policies, **more).judge(envelope(), recipient()))


def filtered(*filters: Any, **more: Any) -> Filtered:
    return result_of(compose_hooks(filters=filters, **more).sender(envelope()))


def authenticated(*checkers: Any) -> str | Reply:
    credentials = UsernamePassword(b"alice", b"secret")
    return result_of(compose_hooks(auth=checkers).authenticate(client(), credentials))


def delivered(deliver: Any, *addresses: str, **more: Any) -> tuple[Outcome, ...]:
    routes = [Route("box", recipient=recipient(address)) for address in addresses]
    hooks = compose_hooks(agents={"box": Agent(deliver)}, **more)
    return result_of(hooks.deliver(message(), "box", routes))


def arrived(to: Recipient | None) -> Outcome:
    assert to is not None
    return Outcome(to, Status.DELIVERED, OK)


class TestRelay:
    def test_nobody_speaks(self) -> None:
        """Relaying is denied until a policy opens it."""
        assert judged() == RELAYING_DENIED
        assert judged(Policy(), Policy()) == RELAYING_DENIED

    def test_the_first_opinion_decides(self) -> None:
        """Who comes after the first opinion is not asked."""
        later = Policy(RECIPIENT_OK)
        assert judged(Policy(), Policy(REFUSED), later) == REFUSED
        assert later.asked == 0

    def test_an_answer_that_comes_later_is_waited_for(self) -> None:
        """A Deferred and a coroutine are as good as a value."""

        class Thinking:
            async def judge(self, envelope: Any, recipient: Any) -> Reply | None:
                await succeed(None)
                return RECIPIENT_OK

        assert judged(Policy(succeed(None)), Thinking()) == RECIPIENT_OK
        waiting: Deferred[Reply] = Deferred()
        asked = compose_hooks(relay=[Policy(waiting)]).judge(envelope(), recipient())
        assert isinstance(asked, Deferred) and not asked.called
        waiting.callback(RECIPIENT_OK)
        assert result_of(asked) == RECIPIENT_OK

    def test_a_policy_is_asked_about_its_listeners_only(self) -> None:
        """`on` keeps a plugin out of the sessions of other listeners."""
        here = Bound("relay", "x", Policy(RECIPIENT_OK), on=frozenset({"mx"}))
        hooks = compose_hooks(relay=[here])
        assert hooks.judge(envelope(), recipient()) == RECIPIENT_OK
        elsewhere = envelope(client=client(listener="submission"))
        assert hooks.judge(elsewhere, recipient()) == RELAYING_DENIED
        assert hooks.judge(envelope(client=client(listener="")), recipient()) == RELAYING_DENIED

    def test_the_decision_is_told(self) -> None:
        """An Event says who decided what about whom."""
        seen = Remembered()
        judged(Policy(), Policy(REFUSED), observers=[seen])
        (event,) = seen.events
        assert (event.stage, event.plugin, event.verdict) == ("relay", "policy", str(REFUSED))
        assert (event.id, event.session) == ("M1", "S1")
        assert event.facts["recipient"] == "bob@example.org"
        assert event.facts["sender"] == "alice@client.example"


class TestFilters:
    def test_nobody_speaks(self) -> None:
        """Without an opinion nothing is refused, added or found."""
        assert filtered() == Filtered(None, {}, ())
        assert filtered(Filter(), Shape(), Shape(OK)) == Filtered(None, {}, ())

    def test_findings_are_put_together(self) -> None:
        """Later signals win; headers keep their order, folds become CRLF."""
        first = Finding({"spf": "fail", "a": "1"}, ("X-A: 1",))
        second = Finding({"spf": "pass"}, ("X-B: 2\n folded", "X-C: 3\r\n\tfolded"))
        assert filtered(Shape(first), Shape(second)) == Filtered(
            None,
            {"spf": "pass", "a": "1"},
            ("X-A: 1", "X-B: 2\r\n folded", "X-C: 3\r\n\tfolded"),
        )

    def test_each_filter_sees_what_those_before_it_found(self) -> None:
        """Facts and policy are apart: a later filter judges an earlier one's signals."""
        judge = Shape()
        filtered(Shape(Finding({"spf": "fail"})), judge)
        assert judge.shown[0].signals == {"spf": "fail"}

    def test_a_refusal_stops_the_asking(self) -> None:
        """The first negative reply decides; what was found before it is kept."""
        later = Shape()
        answer = filtered(Shape(Finding({"x": "1"})), Shape(REFUSED), later)
        assert (answer.refusal, answer.signals, later.shown) == (REFUSED, {"x": "1"}, [])

    def test_every_stage_is_asked(self) -> None:
        """Five stages, five questions, and a session's signals go along."""

        class All:
            def __init__(self) -> None:
                self.asked: list[str] = []

            def connected(self, client: Any) -> Any:
                self.asked.append("connected")
                return Finding({"c": "1"})

            def hello(self, client: Any) -> Any:
                self.asked.append("hello")

            def sender(self, envelope: Any) -> Any:
                self.asked.append("sender")

            def recipient(self, envelope: Any, recipient: Any) -> Any:
                self.asked.append(f"recipient {recipient.address}")
                return REFUSED

            def content(self, envelope: Any, content: Any) -> Any:
                self.asked.append(f"content {content.size}")

        plugin, seen = All(), Remembered()
        hooks = compose_hooks(filters=[plugin], observers=[seen])
        assert result_of(hooks.connected(client())).signals == {"c": "1"}
        hooks.hello(client())
        hooks.sender(envelope())
        hooks.recipient(envelope(), recipient())
        hooks.content(envelope(), content(b"abc"))
        assert plugin.asked == [
            "connected", "hello", "sender", "recipient bob@example.org", "content 3"
        ]  # fmt: skip
        assert [(event.verdict, event.facts["at"]) for event in seen.events] == [
            ("found", "connected"),
            (str(REFUSED), "recipient"),
        ]
        assert seen.events[0].facts["signals"] == {"c": "1"}


class TestAuth:
    def test_nobody_speaks(self) -> None:
        """Without a checker, and without a yes, the credentials are invalid."""
        assert authenticated() == AUTH_FAILED
        assert authenticated(Checker(UnauthorizedLogin())) == AUTH_FAILED

    @pytest.mark.parametrize("answer", [b"alice", "alice", succeed(b"alice")])
    def test_the_first_yes_decides(self, answer: Any) -> None:
        """The avatar's id is the user's name, as bytes or as text."""
        no = [fail(UnauthorizedLogin()), UnhandledCredentials(), succeed(None), None]
        assert authenticated(*map(Checker, no), Checker(answer), Checker("eve")) == "alice"

    def test_anonymous_is_nobody(self) -> None:
        """An empty tuple, which twisted.cred calls ANONYMOUS, lets nobody in."""
        assert authenticated(Checker(ANONYMOUS)) == AUTH_FAILED

    def test_checkers_of_twisted_serve(self) -> None:
        """Any ICredentialsChecker does, several in a row."""
        first = InMemoryUsernamePasswordDatabaseDontUse(bob=b"x")
        second = InMemoryUsernamePasswordDatabaseDontUse(alice=b"secret")
        assert authenticated(first, second) == "alice"

    def test_the_decision_is_told(self) -> None:
        """Who came in, by which plugin; never with what."""
        seen = Remembered()
        hooks = compose_hooks(auth=[Checker("alice")], observers=[seen])
        hooks.authenticate(client(), UsernamePassword(b"alice", b"secret"))
        (event,) = seen.events
        assert (event.stage, event.verdict, event.facts["user"]) == (
            "auth", "authenticated", "alice"
        )  # fmt: skip
        assert "secret" not in repr(event)


class TestDeliver:
    def test_outcomes_come_in_the_order_of_the_routes(self) -> None:
        """One for each route, however the agent sorts them; a generator serves too."""

        def backwards(message: Message, routes: Any) -> Any:
            return (arrived(route.recipient) for route in reversed(routes))

        outcomes = delivered(backwards, "a@example.org", "b@example.org")
        assert [str(each.recipient.address) for each in outcomes] == [
            "a@example.org", "b@example.org"
        ]  # fmt: skip
        assert {each.status for each in outcomes} == {Status.DELIVERED}

    def test_an_agent_that_is_not_there_defers(self) -> None:
        """A route to an unknown agent waits until there is one."""
        route = Route("lost", recipient=recipient())
        (outcome,) = result_of(compose_hooks().deliver(message(), "lost", [route]))
        assert (outcome.status, outcome.reply) == (Status.DEFERRED, NO_DELIVERY)

    def test_a_missing_outcome_counts_as_deferred(self) -> None:
        """Never as delivered; the reply has a reference."""

        def only_the_first(message: Message, routes: Any) -> Any:
            return [arrived(routes[0].recipient)]

        first, second = delivered(only_the_first, "a@example.org", "b@example.org")
        assert (first.status, second.status) == (Status.DELIVERED, Status.DEFERRED)
        assert second.reply.code == 451 and "(ref " in second.reply.text

    def test_outcomes_of_others_are_dropped(self) -> None:
        """An agent speaks for those that it was given."""

        def meddling(message: Message, routes: Any) -> Any:
            return [arrived(recipient("eve@example.org")), arrived(routes[0].recipient)]

        (outcome,) = delivered(meddling, "a@example.org")
        assert (outcome.status, str(outcome.recipient.address)) == (
            Status.DELIVERED, "a@example.org"
        )  # fmt: skip

    def test_outcomes_that_disagree_are_deferred(self) -> None:
        """Rather twice in a mailbox than in none."""

        def undecided(message: Message, routes: Any) -> Any:
            to = routes[0].recipient
            return [arrived(to), Outcome(to, Status.FAILED, NO_SUCH_MAILBOX)]

        (outcome,) = delivered(undecided, "a@example.org")
        assert outcome.status is Status.DEFERRED

    @pytest.mark.parametrize(
        "wrong",
        [
            "nonsense",
            Outcome(recipient("a@example.org"), Status.DELIVERED, NO_SUCH_MAILBOX),
            Outcome(recipient("a@example.org"), Status.FAILED, OK),
            Outcome(recipient("a@example.org"), Status.EXPANDED, OK),
            Outcome(recipient("a@example.org"), Status.DELIVERED, "250 OK"),  # type: ignore[arg-type]
        ],
    )
    def test_an_outcome_that_contradicts_itself_is_deferred(self, wrong: Any) -> None:
        """Nothing is forgotten on the word of an agent that makes no sense."""
        (outcome,) = delivered(lambda message, routes: [wrong], "a@example.org")
        assert outcome.status is Status.DEFERRED

    def test_a_route_without_a_recipient_is_a_bug(self) -> None:
        """ValueError, before anybody is asked."""
        with pytest.raises(ValueError, match="without a recipient"):
            result_of(compose_hooks().deliver(message(), "box", [Route("box")]))

    def test_each_outcome_is_told(self) -> None:
        """Recipient, status and the words that came with it."""
        seen = Remembered()
        delivered(
            lambda m, routes: [arrived(routes[0].recipient)], "a@example.org", observers=[seen]
        )
        (event,) = seen.events
        assert (event.stage, event.verdict, event.plugin) == ("deliver", "delivered", "box")
        assert event.facts["recipient"] == "a@example.org"
        assert event.facts["reply"] == str(OK)


def test_bounds_are_all_plugins_but_the_store() -> None:
    """What the host starts and stops with itself."""
    plugins = [Policy(), Shape(), Remembered()]
    hooks = compose_hooks(relay=plugins[:1], filters=plugins[1:2], observers=plugins[2:])
    assert [bound.plugin for bound in hooks.bounds] == plugins


def test_observers_start_before_agents() -> None:
    """What an agent tells when it starts and stops, they hear."""
    observer, agent = Remembered(), Agent(lambda message, routes: ())
    hooks = compose_hooks(observers=[observer], agents={"box": agent})
    assert [bound.plugin for bound in hooks.bounds] == [observer, agent]
