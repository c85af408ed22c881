"""dovecot-uidlist: read as Dovecot writes it, and written as Dovecot reads it."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from mailbox_kit import Place

from mailframe.mailbox import LockLost
from mailframe.mailbox.uidlist import MAX_UID, OtherVersion, UidList
from mailframe.mailbox.uidvalidity import next_uidvalidity

DOVECOT = (
    "3 V1763840000 N12 Gabcdef0123 Xother\n3 :1.a\n5 W120 S100 Zfuture :2.b,S=1\n9 Pu l :3 c d\n"
)


def assign(found: UidList, *bases: str) -> None:
    with found.locked() as lock:
        found.read()
        found.assign(lock, bases)


def rewrite(found: UidList, *without: str) -> None:
    with found.locked() as lock:
        found.read()
        found.rewrite(lock, without)


def test_a_new_list_is_one_that_dovecot_reads(place: Place) -> None:
    """A header with UIDVALIDITY, next UID and an id of 128 bits; then the records."""
    found = place.list()
    assert not found.exists and found.state == ()
    assign(found, "1.a", "2.b")
    text = r"3 V(\d+) N3 G[0-9a-f]{32}\n1 :1\.a\n2 :2\.b\n"
    match = re.fullmatch(text, place.text())
    assert match and int(match[1]) == found.validity
    assert place.list().uid_of == found.uid_of == {"1.a": 1, "2.b": 2}
    assert found.next_uid == 3


def test_fields_and_the_header_stay_as_they_are(place: Place) -> None:
    """What we do not know is kept by an append and by a whole new file."""
    place.write(DOVECOT)
    found = place.list()
    assert (found.validity, found.next_uid, found.guid) == (1763840000, 12, "abcdef0123")
    assert found.uid_of == {"1.a": 3, "2.b,S=1": 5, "3 c d": 9}
    assert found.field("2.b,S=1", "W") == "120"
    assert found.field("2.b,S=1", "P") is found.field("1.a", "W") is None
    assign(found, "4.d")
    assert place.text() == DOVECOT + "12 :4.d\n"
    rewrite(found, "1.a")
    assert place.text() == DOVECOT.replace("N12", "N13").replace("3 :1.a\n", "") + "12 :4.d\n"
    assert found.uid_of == place.list().uid_of


def test_the_next_uid_in_the_header_may_lag(place: Place) -> None:
    """The next UID is above the last record's too."""
    place.write("3 V7 N2 Gx\n8 :a\n")
    assert place.list().next_uid == 9
    place.write("3 V7 N20 Gx\n8 :a\n")
    assert place.list().next_uid == 20


def test_a_torn_last_line_does_not_count(place: Place) -> None:
    """The next writer replaces the file, and does not continue the line."""
    place.write("3 V7 N2 Gx\n1 :a\n2 :b")
    found = place.list()
    assert found.uid_of == {"a": 1} and found.next_uid == 2
    assign(found, "c")
    assert place.text() == "3 V7 N3 Gx\n1 :a\n2 :c\n"


@pytest.mark.parametrize(
    "line", ["x :b", "1 :b", "0 :b", "5b", "5 :", "4294967296 :b", "\u0665 :b"]
)
def test_a_damaged_line_does_not_count(place: Place, line: str) -> None:
    """Others do, and the next writer leaves it out."""
    place.write(f"3 V7 N2 Gx\n1 :a\n{line}\n6 :z\n")
    found = place.list()
    assert found.uid_of == {"a": 1, "z": 6}
    assign(found, "b")
    assert place.text() == "3 V7 N8 Gx\n1 :a\n6 :z\n7 :b\n"


def test_the_later_of_two_records_counts(place: Place) -> None:
    """A message that got a new UID is the last one, without the old one's fields."""
    place.write("3 V7 N2 Gx\n1 W3 :a\n2 :b\n3 :a:2,S\n")
    found = place.list()
    assert list(found.uid_of.items()) == [("b", 2), ("a", 3)]
    assert found.field("a", "W") is None


def test_crlf_is_accepted(place: Place) -> None:
    """Other programs write the list with CRLF."""
    place.write("3 V7 N2 Gx\r\n1 :a\r\n")
    found = place.list()
    assert found.exists and found.guid == "x" and found.uid_of == {"a": 1}


def test_names_that_are_not_utf_8(place: Place) -> None:
    """Any octets of a file name come back as they were."""
    name = os.fsdecode(b"1.\xff\xe9")
    found = place.list()
    assign(found, name)
    assert place.list().uid_of == {name: 1}
    assert b" :1.\xff\xe9\n" in (place.path / "dovecot-uidlist").read_bytes()


def test_only_what_is_new_is_read_again(place: Place) -> None:
    """Appended records are added; a file in place of it is read from its beginning."""
    one, two = place.list(), place.list()
    assign(one, "a")
    two.read()
    assign(one, "b", "c")
    state = two.state
    two.read()
    assert two.uid_of == {"a": 1, "b": 2, "c": 3} and two.state != state
    rewrite(one, "a")
    two.read()
    assert two.uid_of == {"b": 2, "c": 3}
    assert two.next_uid == 4


def test_a_file_of_the_same_number_is_not_taken_for_the_old_one(place: Place) -> None:
    """A file system gives a removed file's inode number to the next one."""
    found = place.list()
    assign(found, "a", "b")
    path = place.path / "dovecot-uidlist"
    with path.open("r+") as file:  # the same inode with other content, and longer
        file.write("3 V9 N9 Gy\n4 :x\n5 :y\n6 :z\n7 :zz\n8 :zzzzzzzzzzzzzzzzzzzzz\n")
    found.read()
    assert found.validity == 9 and list(found.uid_of)[:2] == ["x", "y"]


@pytest.mark.parametrize("text", ["", "garbage\n", "3 V0 N1 Gx\n", "3 V5\n", "3 V5 N1 Gx"])
def test_a_list_without_a_header_is_lost(place: Place, text: str) -> None:
    """The new one has a greater UIDVALIDITY, and UIDs from 1."""
    found = place.list()
    assign(found, "a", "b")
    before = found.validity
    place.write(text)
    found.read()
    assert not found.exists
    assign(found, "b")
    assert found.validity > before and place.list().uid_of == {"b": 1}
    assert place.list().validity == found.validity


@pytest.mark.parametrize("text", ["1 5 9\n1 a\n", "4 V5 N9\n"])
def test_another_version_is_left_alone(place: Place, text: str) -> None:
    """A list that we cannot read is never replaced."""
    place.write(text)
    with pytest.raises(OtherVersion):
        place.list()
    assert place.text() == text


def test_uids_that_ran_out_begin_again(place: Place) -> None:
    """RFC 9051 section 2.3.1.1: with a new UIDVALIDITY."""
    place.write(f"3 V7 N2 Gx\n1 :a\n{MAX_UID - 1} :b\n")
    found = place.list()
    assign(found, "c")
    assert found.uid_of == {"a": 1, "b": 2, "c": 3} and found.validity > 7


def test_learned_fields_are_written_with_the_next_whole_file(place: Place) -> None:
    """They stand beside the other fields, and in place of old ones."""
    place.write(DOVECOT)
    found = place.list()
    found.learn("2.b,S=1", {"W": "9"})
    found.learn("gone", {"W": "9"})
    assert found.field("2.b,S=1", "W") == "9" and found.has_learned
    rewrite(found)
    assert "5 S100 Zfuture W9 :2.b,S=1\n" in place.text()
    assert not found.has_learned and place.list().field("2.b,S=1", "W") == "9"


def test_a_full_disk_leaves_the_list_as_it_was(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a part of a record nor a draft remains, and no lock."""
    found = place.list()
    assign(found, "a")
    text, beside = place.text(), place.beside()
    write = os.write

    def half(file: int, octets: bytes) -> int:
        if os.readlink(f"/proc/self/fd/{file}").endswith(".lock"):
            return write(file, octets)
        if len(octets) < 4:
            raise OSError(28, "No space left on device")
        return write(file, octets[: len(octets) // 2])

    monkeypatch.setattr(os, "write", half)
    for change in (lambda: assign(found, "b"), lambda: rewrite(found)):
        with pytest.raises(OSError, match="No space"):
            change()
        assert (place.text(), place.beside()) == (text, beside)
    monkeypatch.undo()
    assign(found, "b")
    assert place.list().uid_of == {"a": 1, "b": 2}


def test_the_list_of_a_stranger_is_no_way_out(place: Place) -> None:
    """A symbolic link or a pipe in the list's place is an error: it is neither read nor written."""
    elsewhere = place.path.parent / "elsewhere"
    elsewhere.write_text("3 V7 N2 Gx\n")
    path = place.path / "dovecot-uidlist"
    path.symlink_to(elsewhere)
    with pytest.raises(OSError, match="symbolic links"):
        place.list()
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(OSError, match="plain file"):
        place.list()
    assert elsewhere.read_text() == "3 V7 N2 Gx\n"


def test_mode_and_owner_stay(place: Place) -> None:
    """A whole new file is as readable as the old one; the first one is the owner's alone."""
    found = place.list()
    assign(found, "a")
    path = place.path / "dovecot-uidlist"
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o660)
    if os.geteuid() == 0:
        os.chown(path, 65534, 65534)
    rewrite(found)
    assert path.stat().st_mode & 0o777 == 0o660
    assert os.geteuid() != 0 or path.stat().st_uid == 65534


def test_uidvalidity_grows(place: Place) -> None:
    """Above the clock, above the last one, above what is asked; as Dovecot notes it."""
    assert next_uidvalidity(place.maildir, 1000.5) == 1000
    assert place.beside() == ["dovecot-uidvalidity", "dovecot-uidvalidity.000003e8"]
    assert place.text("dovecot-uidvalidity") == "000003e8"
    assert next_uidvalidity(place.maildir, 1000.5) == 1001
    assert next_uidvalidity(place.maildir, 5.0, above=2000) == 2001
    assert next_uidvalidity(place.maildir, 5.0) == 2002
    (place.path / "dovecot-uidvalidity.000007d2").unlink()
    assert next_uidvalidity(place.maildir, 5.0) == 2003
    assert place.text("dovecot-uidvalidity") == "000007d3"
    (place.path / "dovecot-uidvalidity").write_text("nonsense")
    assert next_uidvalidity(place.maildir, 5.0) == 2004


def test_uids_are_on_disk_before_anybody_hears_of_them(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Appended, written whole, or read while their writer may not have synced them."""
    synced: list[bytes] = []

    def sync(file: int) -> None:
        synced.append(Path(os.readlink(f"/proc/self/fd/{file}")).read_bytes())

    found = place.list()
    monkeypatch.setattr(os, "fdatasync", sync)
    places: list[str] = []

    def sync_whole(file: int) -> None:
        places.append(os.readlink(f"/proc/self/fd/{file}"))
        if not os.path.isdir(file):
            sync(file)

    monkeypatch.setattr(os, "fsync", sync_whole)
    assign(found, "a")
    assert synced.pop().endswith(b"\n1 :a\n")
    assert places[-1] == str(place.path), "the name of the new file is on disk as well"
    other = place.list()
    synced.clear()
    assign(found, "b")
    assert synced.pop().endswith(b"\n2 :b\n")
    other.read()
    assert synced.pop().endswith(b"\n2 :b\n") and other.uid_of == found.uid_of


def test_uids_that_could_not_be_synced_are_taken_back(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is told, and the list is as before."""
    found = place.list()
    assign(found, "a")
    text = place.text()

    def fails(file: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", fails)
    with pytest.raises(OSError, match="Input/output"):
        assign(found, "b")
    assert place.text() == text and found.uid_of == {"a": 1}


def test_a_list_that_changes_without_its_lock_is_not_appended_to(place: Place) -> None:
    """Else one UID might be given twice."""
    found = place.list()
    assign(found, "a")
    with found.locked() as lock:
        found.read()
        with (place.path / "dovecot-uidlist").open("a") as file:
            file.write("2 :x\n")
        with pytest.raises(OSError, match="without its lock"):
            found.assign(lock, ["b"])
    assert place.list().uid_of == {"a": 1, "x": 2}


def test_who_lost_the_lock_changes_nothing(place: Place) -> None:
    """Neither by an append nor by a whole file."""
    found = place.list()
    assign(found, "a")
    text, beside = place.text(), place.beside()
    with found.locked() as lock:
        found.read()
        (place.path / "dovecot-uidlist.lock").unlink()
        with pytest.raises(LockLost):
            found.assign(lock, ["b"])
        with pytest.raises(LockLost):
            found.rewrite(lock)
    assert (place.text(), place.beside()) == (text, beside)


@pytest.mark.parametrize("text", ["3 V9 N2 Gx\n1 :a\n2 :b\n", "3 V7 N2 Gx\n1 :x\n2 :b\n"])
def test_header_and_last_line_tell_another_file(place: Place, text: str) -> None:
    """Either one alone, in a file of the same inode number."""
    place.write("3 V7 N2 Gx\n1 :a\n")
    found = place.list()
    with (place.path / "dovecot-uidlist").open("r+") as file:
        file.write(text)
    found.read()
    assert (found.validity, found.uid_of) == (place.list().validity, place.list().uid_of)
