"""Which recipients of a message travel together."""

from __future__ import annotations

import pytest

from mailframe.message import NextHop, Route
from mailframe.queue.parcels import parcels_of
from mailframe.testing.values import mailbox, recipient


def route(address, agent="smtp", host=None, port=None, **more):
    hop = NextHop(host, port=port) if host else None
    return Route(agent, recipient(address, **more), next_hop=hop)


def said(parcels):
    return [
        (parcel.agent, parcel.place[1], [str(each.address) for each in parcel.recipients])
        for parcel in parcels
    ]


def test_those_of_one_next_hop_share_a_parcel():
    """Whatever their domains are."""
    parcels = parcels_of(
        [
            route("a@x.example", host="mx.example"),
            route("b@y.example", host="other.example"),
            route("c@z.example", host="mx.example"),
        ]
    )
    assert said(parcels) == [
        ("smtp", "mx.example", ["a@x.example", "c@z.example"]),
        ("smtp", "other.example", ["b@y.example"]),
    ]
    assert all(parcel.remote for parcel in parcels)


def test_another_port_is_another_place():
    """A host with two servers is two destinations."""
    parcels = parcels_of(
        [route("a@x.example", host="mx.example"), route("b@x.example", host="mx.example", port=26)]
    )
    assert [parcel.place for parcel in parcels] == [
        ("smtp", "mx.example"),
        ("smtp", "mx.example:26"),
    ]


def test_mailboxes_of_this_host_travel_by_domain():
    """They are not remote; the mailbox that an address stands for decides."""
    own = Route("maildir", recipient("alias@x.example"), mailbox=mailbox("bob@y.example"))
    (parcel,) = parcels_of([own, route("carol@y.example", "maildir")])
    assert (parcel.place, parcel.remote) == (("maildir", "y.example"), False)


def test_another_sender_is_another_parcel():
    """A list's copies have its owner as their sender."""
    owner = mailbox("owner@lists.example")
    parcels = parcels_of(
        [route("a@x.example", host="mx"), route("b@x.example", host="mx", sender=owner)]
    )
    assert [parcel.sender for parcel in parcels] == [None, owner]
    assert len({parcel.place for parcel in parcels}) == 1


def test_one_mailbox_gets_one_copy():
    """Recipients that stand for it share its route."""
    first = route("bob@x.example", host="mx")
    (parcel,) = parcels_of([first, route("bob@x.example", host="mx", orcpt="rfc822;b@y.example")])
    assert parcel.routes == [first]
    assert [len(same) for same in parcel.shared] == [2]


def test_spellings_of_one_mailbox_get_one_copy():
    """Whatever the case; another tag may be another folder, and a host of others knows best."""
    box = mailbox("bob@x.example")
    spellings = ("bob@x.example", "Bob@x.example", "BOB@x.example")
    own = [Route("maildir", recipient(each), mailbox=box) for each in spellings]
    tagged = Route("maildir", recipient("bob+a@x.example"), mailbox=box, tag="a")
    (parcel,) = parcels_of([*own, tagged])
    assert [len(same) for same in parcel.shared] == [3, 1]
    (parcel,) = parcels_of([route(each, host="mx") for each in spellings])
    assert [len(same) for same in parcel.shared] == [1, 1, 1]


def test_a_route_must_have_its_recipient():
    """The hooks fill it in."""
    with pytest.raises(ValueError, match="without a recipient"):
        parcels_of([Route("smtp")])
