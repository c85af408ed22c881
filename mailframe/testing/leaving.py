"""Contract tests for the plugins that are asked when mail leaves: `[[departure]]`,
`[[tls_policy]]`.

They are used as those of `plugins`: each is a mixin for a TestCase, whose `make` builds the plugin.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

from ..interfaces import IDeparture, ITlsPolicy
from ..message import Content, Departed, Message, NextHop, Route, TlsDemand
from ..smtp.address import Mailbox
from ..smtp.reply import Reply
from .contract import Contract
from .hooks import compose_hooks
from .plugins import odd_recipients
from .values import content, envelope, recipient


class DepartureContract(Contract):
    """`[[departure]]`."""

    interface = IDeparture

    def messages(self) -> Sequence[Message]:
        """The messages that leave; add those that are special to the plugin."""
        octets = b"From: <alice@example.org>\r\nSubject: large\r\n\r\n" + b"x" * 70 + b"\r\n"
        stored = Content(b"Received: x\r\n", lambda: io.BytesIO(octets), len(octets))
        eight_bit = content("From: <a@x.example>\r\n\r\nGrüße\r\n".encode())
        odd = Mailbox("müller", "münchen.example")
        return [
            *(Message("M1", envelope(), each) for each in (content(), content(b""), stored)),
            Message("M1", envelope(), content(b"no header\r\n")),
            Message("M1", envelope(body="8BITMIME"), eight_bit),
            Message("M1", envelope(None), content()),
            Message("M1", envelope(odd, smtputf8=True, body="8BITMIME"), eight_bit),
        ]

    def routes(self) -> Sequence[Sequence[Route]]:
        """Their recipients."""
        hop = NextHop("elsewhere.example")
        one = [recipient("bob@elsewhere.example")]
        listed = [recipient("eve@elsewhere.example", came_from=(Mailbox("list", "example.org"),))]
        return [
            [Route("smtp", each, next_hop=hop) for each in some]
            for some in (one, [*one, *listed], odd_recipients("elsewhere.example"))
        ]

    def test_what_it_says_can_leave(self) -> None:
        """The answer is a Departure with correct parts, a negative Reply or None.

        Nothing raises.
        """
        hooks = compose_hooks(departures=[self.make()])
        for message in self.messages():
            for routes in self.routes():
                answer = self.wait(hooks.depart(message, routes))
                assert isinstance(answer, Departed) or _is_decided(answer), (message, answer)

    def test_the_octets_are_as_many_as_it_says(self) -> None:
        """The next host is told `Content.size` before the octets are read, so it must be right."""
        hooks = compose_hooks(departures=[self.make()])
        for message in self.messages():
            answer = self.wait(hooks.depart(message, self.routes()[0]))
            if isinstance(answer, Departed):
                left = answer.message.content
                with left.open() as file:
                    assert len(file.read()) == left.size, message


class TlsPolicyContract(Contract):
    """`[[tls_policy]]`."""

    interface = ITlsPolicy

    def questions(self) -> Sequence[tuple[str, str]]:
        """Domains and exchanges; add those that are special to the plugin."""
        return [
            ("elsewhere.example", "mx1.elsewhere.example"),
            ("elsewhere.example", "elsewhere.example"),
            ("xn--mnchen-3ya.example", "mx.xn--mnchen-3ya.example"),
            ("[192.0.2.1]", "192.0.2.1"),
            ("[ipv6:2001:db8::1]", "2001:db8::1"),
            ("a_b.example", "mx"),
            ("", ""),
        ]

    def test_it_demands_refuses_or_says_nothing(self) -> None:
        """The answer is a TlsDemand, a negative Reply or None; nothing raises."""
        hooks = compose_hooks(tls_policies=[self.make()])
        for domain, exchange in self.questions():
            answer = self.wait(hooks.demand(domain, exchange))
            sound = answer is None or isinstance(answer, TlsDemand) or _is_decided(answer)
            assert sound, (domain, exchange, answer)

    def test_what_does_not_change_is_equal(self) -> None:
        """The same question gets an equal demand twice.

        Otherwise no connection would ever be reused.
        """
        plugin = self.make()
        for asked in self.questions():
            first, second = (self.wait(plugin.demand(*asked)) for _ in range(2))
            assert first == second, (asked, first, second)


def _is_decided(answer: object) -> bool:
    """True for a refusal in the plugin's own words, rather than for its failure."""
    return isinstance(answer, Reply) and not answer.positive and "(ref " not in answer.text
