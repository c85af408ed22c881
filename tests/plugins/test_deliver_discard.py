"""`[deliver.nowhere] plugin = "discard"`."""

from __future__ import annotations

import pytest
from twisted.trial.unittest import SynchronousTestCase

from mailframe.message import Route, Status
from mailframe.plugin import SettingError
from mailframe.testing.plugins import DeliveryAgentContract
from mailframe.testing.values import message, recipient, site
from mailframe_plugins.deliver_discard import Discard, Settings


class TestContract(DeliveryAgentContract, SynchronousTestCase):
    def make(self) -> Discard:
        return Discard(Settings(), site())


def test_everybody_has_been_delivered_to() -> None:
    """With the text that was set."""
    routes = [Route("x", recipient=recipient(to)) for to in ("a@x.example", "b@x.example")]
    outcomes = Discard(Settings(text="Gone"), site()).deliver(message(), routes)
    assert [each.status for each in outcomes] == [Status.DELIVERED] * 2
    assert {str(each.reply) for each in outcomes} == {"250 2.0.0 Gone"}


def test_a_text_that_is_no_reply_is_refused() -> None:
    """At the start, with its key."""
    with pytest.raises(SettingError) as caught:
        Discard(Settings(text="a\0"), site())
    assert caught.value.key == "text"
