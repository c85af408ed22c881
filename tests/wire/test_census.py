"""Counting sessions in all and per client."""

from mailframe.wire.census import Census, client_key


def test_the_total_is_bounded():
    """No more sessions than the listener allows, whoever they come from."""
    census = Census(total=2, per_client=2)
    assert census.admit("192.0.2.1")
    assert census.admit("192.0.2.2")
    assert not census.admit("192.0.2.3")
    assert census.sessions == 2


def test_one_client_is_bounded_and_others_are_not():
    """A client with too many sessions does not keep others out."""
    census = Census(total=10, per_client=1)
    assert census.admit("192.0.2.1")
    assert not census.admit("192.0.2.1")
    assert census.admit("192.0.2.2")


def test_who_leaves_makes_room_and_is_forgotten():
    """Nothing is remembered of clients that have left."""
    census = Census(total=10, per_client=2)
    assert census.admit("192.0.2.1")
    assert census.admit("192.0.2.1")
    census.leave("192.0.2.1")
    assert census.admit("192.0.2.1")
    census.leave("192.0.2.1")
    census.leave("192.0.2.1")
    assert census.sessions == 0
    assert census._clients == {}


def test_an_ipv6_client_is_its_64_network():
    """Another address in the same /64 is the same client; the next /64 is another."""
    census = Census(total=10, per_client=1)
    assert census.admit("2001:db8::1")
    assert not census.admit("2001:db8::ffff:1")
    assert census.admit("2001:db8:0:1::1")
    assert client_key("2001:db8::1") == client_key("2001:db8::2")


def test_a_unix_socket_has_no_bound_per_client():
    """All local peers look alike and are not one client."""
    census = Census(total=2, per_client=1)
    assert census.admit("unix")
    assert census.admit("unix")
    assert not census.admit("unix")
