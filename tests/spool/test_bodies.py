"""Files of large bodies: named safely, checked when they are read, never deleted if damaged."""

from __future__ import annotations

import os
from zlib import crc32

import pytest

from mailframe.message.codec import Damaged
from mailframe.spool.bodies import Bodies, StoredBody


@pytest.fixture
def bodies(tmp_path):
    made = Bodies(tmp_path)
    made.make()
    return made


def stored(octets, prefix=b"P", id="M1"):
    return StoredBody(id, len(octets), True, crc32(prefix, crc32(octets)), prefix)


def put(bodies, id, octets):
    descriptor = bodies.create(id)
    os.write(descriptor, octets)
    bodies.sync(descriptor)
    os.close(descriptor)


def test_what_was_written_is_read(bodies):
    """From its beginning, after it was checked."""
    put(bodies, "M1", b"octets")
    with bodies.open(stored(b"octets")) as file:
        assert file.read() == b"octets"


@pytest.mark.parametrize("octets", [b"octet", b"octetS", None])
def test_damage_is_found_before_anything_is_given(bodies, octets):
    """Shorter, changed, or gone."""
    if octets is not None:
        put(bodies, "M1", octets)
    with pytest.raises(Damaged):
        bodies.open(stored(b"octets"))


def test_octets_at_hand_are_checked_the_same_way():
    """Size and checksum, the prefix included."""
    stored(b"octets").verify(b"octets")
    for octets, prefix in ((b"octet", b"P"), (b"octetS", b"P"), (b"octets", b"Q")):
        with pytest.raises(Damaged):
            stored(b"octets", prefix)._replace(check=stored(b"octets").check).verify(octets)


def test_a_name_is_used_once(bodies):
    """A second file of one id is refused."""
    put(bodies, "M1", b"first")
    with pytest.raises(FileExistsError):
        bodies.create("M1")


def test_no_id_leads_out_of_the_folder(bodies, tmp_path):
    """Slashes and dots are spelt out."""
    put(bodies, "../M 1", b"x")
    assert bodies.found() == ["../M 1"]
    assert bodies.path("../M 1").parent == tmp_path / "bodies"


def test_what_is_set_aside_is_kept(bodies, tmp_path):
    """And what is removed twice, or was never there, does no harm."""
    put(bodies, "M1", b"x")
    put(bodies, "M2", b"x")
    bodies.set_aside("M1")
    bodies.remove("M2")
    bodies.remove("M2")
    bodies.set_aside("M3")
    assert bodies.found() == []
    assert [path.name for path in (tmp_path / "corrupt").iterdir()] == ["M1.body"]
