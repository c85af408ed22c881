"""The store for retrieval and Dovecot serve one Maildir at the same time."""

from __future__ import annotations

import imaplib
import os
import random
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from live_servers import Dovecot, wait_for
from mailframe.mailbox import Changes, Folder
from mailframe.maildir import Maildir, UniqueNames
from mailframe.maildir.owner import Owner

pytestmark = pytest.mark.live

NAMES = UniqueNames("mx.example.org", time.time)
USER = 65534  # nobody, as whom Dovecot reads the mail
BODY = b"From: a@b.example\nSubject: test\n\nHello\n"


@pytest.fixture
def dovecot(tmp_path: Path, need) -> Iterator[Dovecot]:
    need("dovecot", root=True)
    with Dovecot(tmp_path / "dovecot") as server:
        yield server


@pytest.fixture
def maildir(dovecot: Dovecot) -> Maildir:
    path = dovecot.folder / "mail" / "dove.example" / "alice" / "Maildir"
    found = Maildir(path, owner=Owner(USER, USER))
    found.create()
    return found


def put(maildir: Maildir, count: int = 1, info: str = "") -> None:
    for _ in range(count):
        name = f"{NAMES.new()}{info}"
        place = maildir.path / "tmp" / name
        place.write_bytes(BODY)
        os.chown(place, USER, USER)
        place.rename(maildir.path / ("cur" if info else "new") / name)


def opened(maildir: Maildir) -> Folder:
    return Folder(maildir, maildir, NAMES)


class Imap:
    """A session with Dovecot."""

    def __init__(self, dovecot: Dovecot) -> None:
        self._imap = imaplib.IMAP4("127.0.0.1", dovecot.imap)
        self._imap.login("alice@dove.example", "secret")
        self._imap.select("INBOX")

    def number(self, name: str) -> int:
        """UIDVALIDITY or UIDNEXT, as of SELECT."""
        return int(self._imap.response(name)[1][0])

    def messages(self) -> dict[int, tuple[frozenset[str], int]]:
        """Flags (without \\Recent) and size of each message by its UID."""
        self._imap.noop()
        rows = self._imap.uid("FETCH", "1:*", "(UID FLAGS RFC822.SIZE)")[1]
        found = {}
        for row in rows:
            # Others' changes of flags come without being asked for.
            if row is None or b"RFC822.SIZE" not in row:
                continue
            text = row.decode()
            uid, flags, size = (
                re.search(pattern, text)[1]
                for pattern in (r"UID (\d+)", r"FLAGS \(([^)]*)\)", r"RFC822.SIZE (\d+)")
            )
            found[int(uid)] = frozenset(flags.split()) - {"\\Recent"}, int(size)
        return found

    def store(self, uids: list[int], flags: str, how: str = "+FLAGS") -> None:
        assert self._imap.uid("STORE", ",".join(map(str, uids)), how, flags)[0] == "OK"

    def expunge(self, uid: int) -> None:
        self.store([uid], "(\\Deleted)")
        assert self._imap.uid("EXPUNGE", str(uid))[0] == "OK"

    def close(self) -> None:
        self._imap.logout()


@pytest.fixture
def imap(dovecot: Dovecot, maildir: Maildir) -> Iterator[Imap]:
    put(maildir, 3)
    session = Imap(dovecot)
    yield session
    session.close()


def ours(folder: Folder) -> dict[int, tuple[frozenset[str], int]]:
    folder.refresh()
    return {uid: (folder.flags(uid), folder.size(uid)) for uid in folder.uids}


def agree(folder: Folder, imap: Imap) -> dict[int, tuple[frozenset[str], int]]:
    """Wait until both see the same, which is returned."""
    return wait_for(
        lambda: (found := imap.messages()) == ours(folder) and found, name="the same messages"
    )


def test_dovecot_first(imap: Imap, maildir: Maildir) -> None:
    """We take its UIDVALIDITY, UIDs, keywords and flags, and go on after its UIDs."""
    imap.store([2], "(\\Seen $Forwarded Junk)")
    folder = opened(maildir)
    assert folder.validity == imap.number("UIDVALIDITY")
    found = agree(folder, imap)
    assert found[2] == ({"\\Seen", "$Forwarded", "Junk"}, len(BODY) + 4)
    put(maildir, 2)
    assert folder.refresh() == Changes(added=(4, 5))
    assert sorted(agree(folder, imap)) == [1, 2, 3, 4, 5]
    imap.expunge(1)
    assert folder.refresh() == Changes(gone=(1,))


def test_we_first(dovecot: Dovecot, maildir: Maildir) -> None:
    """It takes our UIDVALIDITY, UIDs, keywords and flags, and goes on after our UIDs."""
    put(maildir, 3)
    put(maildir, 1, ":2,PX")
    folder = opened(maildir)
    folder.expunge([4])
    put(maildir, 1, ":2,PX")
    assert folder.refresh() == Changes(added=(5,))
    folder.store_flags([1, 5], ["\\Flagged", "$MDNSent", "Odd"], "add")
    assert list(folder.uids) == [1, 2, 3, 5]
    imap = Imap(dovecot)
    assert imap.number("UIDVALIDITY") == folder.validity and imap.number("UIDNEXT") == 6
    assert agree(folder, imap)[5][0] == {"\\Flagged", "$MDNSent", "Odd"}
    folder.close()
    put(maildir)
    wait_for(lambda: 6 in imap.messages(), name="UID 6")
    agree(folder, imap)
    imap.close()


def test_both_at_once(imap: Imap, maildir: Maildir) -> None:
    """Changes by turns in one open folder: each sees the other's, and all UIDs stay."""
    chance = random.Random(7)
    folder = opened(maildir)
    uid_of: dict[str, int] = {}
    for _ in range(25):
        put(maildir, chance.randint(0, 3))
        # Whoever comes first gives the UIDs.
        if chance.random() < 0.5:
            imap.messages()
        folder.refresh()
        some = chance.sample(list(folder.uids), min(2, len(folder.uids)))
        folder.store_flags(some, chance.sample(["\\Seen", "\\Draft", "One", "Two"], 2), "add")
        there = sorted(imap.messages())
        imap.store(chance.sample(there, min(2, len(there))), "(\\Answered Three)")
        if len(there) > 5:
            imap.expunge(there[chance.randrange(len(there))])
            folder.refresh()
            folder.expunge(folder.uids[:1])
            if chance.random() < 0.3:
                with folder._list.locked() as lock:  # a whole new file under Dovecot's hands
                    folder._list.read()
                    folder._list.rewrite(lock)
        agree(folder, imap)
        for base, uid in folder._uid.items():
            assert uid_of.setdefault(base, uid) == uid
    assert len(uid_of) > 15
    text = (maildir.path / "dovecot-uidlist").read_text()
    assert text.startswith(f"3 V{folder.validity} N") and folder.id in text


def test_dovecot_honours_our_lock(imap: Imap, maildir: Maildir) -> None:
    """While we hold it, Dovecot gives no UIDs; and it takes over the lock of a dead process."""
    folder = opened(maildir)
    with folder._list.locked():
        put(maildir, 1)
        text = (maildir.path / "dovecot-uidlist").read_text()
        asking = threading.Thread(target=imap.messages)
        asking.start()
        asking.join(1.0)
        assert (maildir.path / "dovecot-uidlist").read_text() == text
    asking.join()
    assert 4 in agree(folder, imap)
    dead = os.fork()
    if not dead:
        folder._list.locked().__enter__()
        os._exit(0)
    os.waitpid(dead, 0)
    assert (maildir.path / "dovecot-uidlist.lock").exists()
    put(maildir, 1)
    assert sorted(imap.messages()) == [1, 2, 3, 4, 5]
    agree(folder, imap)
    assert not (maildir.path / "dovecot-uidlist.lock").exists()


def test_a_new_folder_gets_a_uidvalidity_that_dovecot_never_gave(
    dovecot: Dovecot, imap: Imap, maildir: Maildir
) -> None:
    """Both count on in one place."""
    raw = imap._imap
    raw.create("One")
    one = int(re.search(rb"\d+", raw.status("One", "(UIDVALIDITY)")[1][0].rpartition(b" ")[2])[0])
    two = maildir.folder("Two")
    two.create()
    folder = Folder(two, maildir, NAMES)
    raw.create("Three")
    answer = raw.status("Three", "(UIDVALIDITY)")[1][0]
    three = int(re.search(rb"\d+", answer.rpartition(b" ")[2])[0])
    assert len({one, folder.validity, three}) == 3 and one < folder.validity < three
    answer = raw.status("Two", "(UIDVALIDITY)")[1][0]
    assert str(folder.validity).encode() in answer
