"""A folder as POP3 and IMAP see it."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest
from mailbox_kit import BODY, NAMES, Place

from mailframe.mailbox import Changes, Folder, KeywordsFull, NoSuchMessage, UidValidityChanged
from mailframe.mailbox.scan import scan
from mailframe.maildir import Maildir, quota


def uids(folder: Folder) -> list[int]:
    return list(folder.uids)


def file_of(folder: Folder, uid: int) -> str:
    """The name of the message's file, with cur/ or new/, asked of the disk."""
    base = folder._bases[uids(folder).index(uid)]
    (found,) = (
        f"{inside}/{name}"
        for inside in ("cur", "new")
        for name in os.listdir(folder.maildir.path / inside)
        if name.partition(":")[0] == base
    )
    return found


def test_an_empty_folder(place: Place) -> None:
    """It has a UIDVALIDITY and an id from the beginning, and they stay."""
    one, two = place.open(), place.open()
    assert uids(one) == [] and one.next_uid == 1
    assert one.validity == two.validity > 1_700_000_000
    assert one.id == two.id and re.fullmatch("[0-9a-f]{32}", one.id)


def test_messages_get_uids_in_the_order_of_their_names(place: Place) -> None:
    """They are moved from new to cur, once, and their UIDs stay."""
    for name in ("3.c", "1.a", "2.b"):
        place.put(name)
    folder = place.open()
    assert uids(folder) == [1, 2, 3] and folder.recent == {1, 2, 3} and folder.next_uid == 4
    assert place.files() == ["cur/1.a:2,", "cur/2.b:2,", "cur/3.c:2,"]
    place.put("0.d", inside="cur")
    assert folder.refresh() == Changes(added=(4,))
    assert folder.refresh() == Changes()
    again = place.open()
    assert uids(again) == [1, 2, 3, 4] and not again.recent


def test_a_reader_without_effects_moves_nothing(place: Place) -> None:
    """EXAMINE gives UIDs and leaves the messages in new to the first real reader."""
    name = place.put()
    folder = place.open(move=False)
    assert uids(folder) == [1] and not folder.recent and place.files() == [f"new/{name}"]
    assert folder.open(1).read() == BODY and folder.flags(1) == frozenset()
    other = place.open()
    assert other.recent == {1} and uids(other) == [1]
    assert folder.refresh() == Changes()
    assert folder.open(1).read() == BODY


def test_what_is_no_message(place: Place) -> None:
    """Files with a dot, folders, links, and names that would break the list's lines."""
    (place.path / "cur" / ".hidden").touch()
    (place.path / "cur" / "folder").mkdir()
    (place.path / "cur" / "link").symlink_to("/etc/passwd")
    (place.path / "new" / ":2,S").touch()
    (place.path / "new" / "1.a\n9 :evil").touch()
    place.put("5.a")
    assert uids(place.open()) == [1]
    assert place.text().count("\n") == 2


def test_flags_of_others_are_seen(place: Place) -> None:
    """A rename by another program changes the flags, and not the UID."""
    place.put("1.a")
    folder = place.open()
    (place.path / "cur" / "1.a:2,").rename(place.path / "cur" / "1.a:2,FSPaX")
    place.write("0 $Forwarded\n", "dovecot-keywords")
    assert folder.refresh() == Changes(flagged=(1,))
    assert folder.flags(1) == {"\\Flagged", "\\Seen", "$Forwarded"}
    assert folder.open(1).read() == BODY


def test_flags_are_stored_in_the_name(place: Place) -> None:
    """Added, removed, replaced; letters without a meaning stay."""
    place.put("1.a")
    place.put("2.b:2,PXz", inside="cur")
    folder = place.open()
    assert folder.store_flags([1, 2], ["\\Seen", "\\deleted", "Junk"], "add") == [1, 2]
    assert place.files() == ["cur/1.a:2,STa", "cur/2.b:2,PSTXaz"]
    folder.store_flags([1, 2], ["\\Deleted", "unheard-of"], "remove")
    assert place.files() == ["cur/1.a:2,Sa", "cur/2.b:2,PSXaz"]
    assert folder.flags(2) == {"\\Seen", "Junk"}
    folder.store_flags([1, 2], ["\\Answered", "\\Draft", "junk"], "replace")
    assert place.files() == ["cur/1.a:2,DRa", "cur/2.b:2,DPRXaz"]
    assert place.text("dovecot-keywords") == "0 Junk\n"
    assert folder.refresh() == Changes(), "what was done here is not news"
    assert folder.store_flags([3], ["\\Seen"], "add") == []


def test_what_is_no_flag_changes_nothing(place: Place) -> None:
    r"""\Recent, an unknown system flag, a bad keyword, a 27th keyword."""
    place.put("1.a")
    folder = place.open()
    for flags in (["\\Recent"], ["\\Seen", "\\*"], ["\\Seen", "a b"]):
        with pytest.raises(ValueError, match=r"flag|keyword"):
            folder.store_flags([1], flags, "add")
    with pytest.raises(KeywordsFull):
        folder.store_flags([1], ["\\Seen", *(f"k{number}" for number in range(27))], "add")
    assert place.files() == ["cur/1.a:2,"] and folder.flags(1) == frozenset()


def test_flags_of_two_sessions_both_stay(place: Place) -> None:
    """A session that knows an old name applies its change to the new one."""
    place.put("1.a")
    one, two = place.open(), place.open()
    one.store_flags([1], ["\\Seen"], "add")
    two.store_flags([1], ["\\Flagged"], "add")
    assert two.flags(1) == {"\\Seen", "\\Flagged"}
    one.store_flags([1], ["\\Flagged"], "remove")
    assert place.files() == ["cur/1.a:2,S"]
    assert two.store_flags([1], ["\\Flagged"], "remove") == [1], "as the other has done already"
    assert place.files() == ["cur/1.a:2,S"]
    assert one.open(1).read() == two.open(1).read() == BODY


def test_sizes_are_those_of_the_wire(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the name, else by reading once; the list keeps what was read for the next time."""
    place.put("1.a,S=5,W=77")
    place.put("2.b", body=b"a\nb\r\nc\r" + b"x" * 262_136 + b"\r\n\n")
    place.put("3.c,S=3", body=b"\r\n\n")
    folder = place.open()
    assert [folder.size(uid) for uid in (1, 2, 3)] == [77, 262_148, 4]
    assert folder.size(2) == 262_148
    folder.close()
    assert place.text().splitlines()[1:] == [
        "1 :1.a,S=5,W=77", "2 S262146 W262148 :2.b", "3 S3 W4 :3.c,S=3",
    ]  # fmt: skip
    monkeypatch.setattr(Folder, "open", None)
    assert [place.open().size(uid) for uid in (1, 2, 3)] == [77, 262_148, 4]


def test_expunge(place: Place) -> None:
    """The file and its share of the quota are gone; the UID is not given again."""
    for name in ("1.a,S=20", "2.b,S=20", "3.c,S=20"):
        place.put(name)
    quota.reserve(place.maildir, quota.Quota(1000), 0, "u", 0.0)
    folder, other = place.open(), place.open()
    assert folder.expunge([3, 1, 9]) == [3, 1]
    assert uids(folder) == [2] and place.files() == ["cur/2.b,S=20:2,"]
    usage = quota.read(place.maildir)
    assert usage and (usage.octets, usage.messages) == (20, 2)  # of 60 and 4, one for `reserve`
    for gone in (folder.open, folder.flags, folder.size):
        with pytest.raises(NoSuchMessage):
            gone(1)
    assert folder.refresh() == Changes() and folder.next_uid == 4
    assert other.expunge([1]) == [] and other.store_flags([1], ["\\Seen"], "add") == []
    assert other.refresh() == Changes(gone=(1, 3))
    place.put("4.d")
    assert folder.refresh() == Changes(added=(4,))


def test_expunge_of_deleted_messages_only(place: Place) -> None:
    r"""What counts is the name of the moment, not the one that this session knows."""
    place.put("1.a:2,T", inside="cur")
    place.put("2.b:2,", inside="cur")
    place.put("3.c:2,T", inside="cur")
    one, two = place.open(), place.open()
    two.store_flags([1], ["\\Deleted"], "remove")
    two.store_flags([2], ["\\Deleted"], "add")
    assert one.expunge([1, 3], only_deleted=True) == [3]
    assert one.expunge([2], only_deleted=True) == [2]
    assert place.files() == ["cur/1.a:2,"]


def test_a_message_of_another_program_goes_away(place: Place) -> None:
    """It is found out when it is read, and told by the next refresh."""
    place.put("1.a")
    place.put("2.b")
    folder = place.open()
    (place.path / "cur" / "1.a:2,").unlink()
    with pytest.raises(NoSuchMessage):
        folder.open(1)
    assert uids(folder) == [1, 2]
    assert folder.refresh() == Changes(gone=(1,))


def test_a_message_that_comes_back_is_new(place: Place) -> None:
    """RFC 9051 section 2.3.1.1: a UID that was told to be gone is never used again."""
    place.put("1.a")
    place.put("2.b")
    folder = place.open()
    away = place.path / "away"
    (place.path / "cur" / "1.a:2,").rename(away)
    assert folder.refresh() == Changes(gone=(1,))
    away.rename(place.path / "cur" / "1.a:2,S")
    assert folder.refresh() == Changes(added=(3,))
    assert uids(place.open()) == [2, 3]


def test_an_unclean_scan_removes_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A listing beside somebody's renames may lack what is there (or have it twice)."""
    place.put("1.a")
    place.put("2.b")
    folder = place.open()
    (place.path / "cur" / "1.a:2,").unlink()
    place.put("3.c")
    listdir = os.scandir

    def busy(path: Path) -> object:
        (place.path / "new" / "x").touch()
        (place.path / "new" / "x").unlink()
        return listdir(path)

    monkeypatch.setattr(os, "scandir", busy)
    assert not scan(place.path).clean
    assert folder.refresh() == Changes(added=(3,))
    assert uids(folder) == [1, 2, 3] and place.open().next_uid == 4
    monkeypatch.undo()
    place.rest()
    assert folder.refresh() == Changes(gone=(1,))


def test_an_unclean_scan_that_missed_a_message(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes with a new UID, because the client knows that nothing new comes below UIDNEXT."""
    for name in ("1.a", "2.b"):
        place.put(name)
    place.open()
    hidden = (place.path / "cur" / "1.a:2,").rename(place.path / "1.a")
    folder = place.open()
    assert uids(folder) == [2] and folder.next_uid == 3
    hidden.rename(place.path / "cur" / "1.a:2,")
    assert folder.refresh() == Changes(added=(3,))


def test_a_lost_list_means_a_greater_uidvalidity(place: Place) -> None:
    """Whoever has the folder open is told, and changes nothing in the new list."""
    for name in ("1.a", "2.b", "3.c"):
        place.put(name)
    old, other = place.open(), place.open()
    old.expunge([1])
    (place.path / "dovecot-uidlist").unlink()
    with pytest.raises(UidValidityChanged):
        old.refresh()
    new = place.open()
    assert new.validity > old.validity and uids(new) == [1, 2] and new.next_uid == 3
    text = place.text()
    place.put("4.d")
    with pytest.raises(UidValidityChanged):
        other.refresh()
    assert place.text() == text
    shutil.rmtree(place.path)
    with pytest.raises(FileNotFoundError):
        other.refresh()


def test_records_of_gone_messages_are_dropped(place: Place) -> None:
    """Once they are a quarter of the list; the next UID stays."""
    for number in range(300):
        place.put(f"{number:03}.a", inside="cur")
    folder = place.open()
    folder.expunge(range(1, 61))
    folder.refresh()
    assert place.text().count("\n") == 301
    folder.expunge(range(61, 301))
    folder.refresh()
    assert place.text() == f"3 V{folder.validity} N301 G{folder.id}\n"
    assert place.open().next_uid == folder.next_uid == 301


def test_a_record_that_came_after_the_scan_is_not_dropped(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another reader has told its client of it; this scan could not see the message."""
    for number in range(100):
        place.put(f"{number:03}.a", inside="cur")
    folder = place.open()
    folder.expunge(range(1, 100))
    place.rest()

    def then_another(*words: Path, **more: int) -> object:
        found = scan(*words, **more)
        monkeypatch.undo()
        place.put("200.b", inside="cur")
        other = place.list()
        with other.locked() as lock:
            other.assign(lock, ["200.b"])
        return found

    monkeypatch.setattr("mailframe.mailbox.folder.scan", then_another)
    assert folder.refresh() == Changes()
    assert place.text().endswith("\n100 :099.a\n101 :200.b\n") and place.text().count("\n") == 3
    assert folder.refresh() == Changes(added=(101,))


def test_files_of_one_name_become_two_messages(place: Place) -> None:
    """After two clean scans; the younger gets a new name, with its sizes and flags."""
    place.put("1.a,S=9,W=10:2,S", inside="cur", body=b"younger\n")
    place.put("1.a,S=9,W=10", inside="new", body=b"older\n")
    os.utime(place.path / "new" / "1.a,S=9,W=10", (5, 5))
    place.put("1.a,S=9,W=10:2,", inside="cur", body=b"middle\n")
    os.utime(place.path / "cur" / "1.a,S=9,W=10:2,", (9, 9))
    folder = place.open()
    assert uids(folder) == [1] and len(place.files()) == 3
    folder.refresh()
    place.rest()
    assert folder.refresh().added == (2, 3)
    assert {folder.open(uid).read() for uid in (1, 2, 3)} == {b"younger\n", b"middle\n", b"older\n"}
    assert [folder.size(uid) for uid in (1, 2, 3)] == [10, 10, 10]
    place.rest()
    assert folder.refresh() == Changes() and len(place.files()) == 3
    assert file_of(folder, 1) == "cur/1.a,S=9,W=10:2,"


def test_two_names_of_one_file_become_one(place: Place) -> None:
    """What a link and a kill left behind."""
    place.put("1.a")
    os.link(place.path / "new" / "1.a", place.path / "cur" / "1.a:2,")
    folder = place.open()
    folder.refresh()
    place.rest()
    folder.refresh()
    assert uids(folder) == [1] and len(place.files()) == 1 and folder.open(1).read() == BODY


def test_flags_never_overwrite_a_message(place: Place) -> None:
    """If the name with the new flags is another file's."""
    place.put("1.a:2,", inside="cur", body=b"one\n")
    place.put("1.a:2,S", inside="cur", body=b"two\n")
    folder = place.open()
    with pytest.raises(FileExistsError):
        folder.store_flags([1], ["\\Seen"], "add")
    assert len(place.files()) == 2


def test_a_folder_that_leads_out_is_refused(place: Place, tmp_path: Path) -> None:
    """Also by cur, which delivery does not use."""
    (tmp_path / "outside").mkdir()
    (place.path / "cur").rmdir()
    (place.path / "cur").symlink_to(tmp_path / "outside")
    bounded = Maildir(place.path, root=place.path.parent / "Maildir")
    with pytest.raises(OSError, match="leads out"):
        Folder(bounded, bounded, NAMES)
