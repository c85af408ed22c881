"""The Maildir: names, delivery, messages and flags, quota. Real files throughout."""

from __future__ import annotations

import errno
import io
import itertools
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailframe.maildir import (
    Copy,
    FileName,
    Maildir,
    OverQuota,
    Owner,
    Quota,
    Stored,
    Template,
    UniqueNames,
    deliver,
    original_name,
    quota,
    safe_name,
)
from mailframe.maildir.delivery import copies
from mailframe.maildir.mailbox import STALE
from mailframe.message import Content

NOW = 1763840000.25
TEXT = b"Subject: hello\r\n\r\nOne.\r\nTwo.\r\n"


def copy(maildir: Maildir, body: bytes = TEXT, **more: object) -> Copy:
    return Copy(maildir, b"Return-Path: <>\r\n", Content(b"", body, len(body)), maildir, **more)  # type: ignore[arg-type]


def names(now: float = NOW) -> UniqueNames:
    return UniqueNames("mx.example.org", lambda: now)


def one(maildir: Maildir) -> Stored:
    (message,) = maildir.messages()
    return message


@given(st.text(max_size=64))
def test_any_text_becomes_a_safe_name_and_comes_back(text: str) -> None:
    """A name is never empty, hidden, "." or "..", holds no slash and fits into 255 octets."""
    name = safe_name(text)
    assert name and not name.startswith((".", "-"))
    assert not set(name) & {"/", "\0", "\n"}
    assert name.isascii() and len(name) <= 255
    if len(text.encode("utf-8", "surrogatepass")) <= 85:
        assert original_name(name) == text


@given(st.text(max_size=400), st.text(max_size=400))
def test_two_texts_never_share_a_name(one: str, other: str) -> None:
    """Quoting and hashing keep different local parts apart."""
    assert (safe_name(one) == safe_name(other)) == (one == other)


def test_long_names_are_hashed_and_not_undone() -> None:
    """255 octets are kept; what would be longer ends in its hash."""
    assert safe_name("x" * 255) == "x" * 255
    assert len(safe_name("x" * 256)) == 255
    assert safe_name("x" * 256) != safe_name("x" * 257)
    assert original_name(safe_name("x" * 256)) is None


@pytest.mark.parametrize("name", ["", ".", "a/b", "%zz", "%2e", "%41", "%FF", "ü", "%%"])
def test_foreign_names_have_no_original(name: str) -> None:
    """Only what safe_name makes is undone, so that no mailbox has two names."""
    assert original_name(name) is None


def test_usual_local_parts_stay_readable() -> None:
    """Letters in both cases, digits, dots, pluses, hyphens and underscores are kept."""
    assert safe_name("Bob.Smith+tag_x-1") == "Bob.Smith+tag_x-1"


@pytest.mark.parametrize(
    ("text", "prefix", "path"),
    [
        ("/var/mail/{domain}/{user}/Maildir", "/var/mail", "/var/mail/d.example/b%2Fc/Maildir"),
        ("/home/{user}/.mail", "/home", "/home/b%2Fc/.mail"),
        ("/m/{user}@{domain}", "/m", "/m/b%2Fc@d.example"),
        ("/var/mail/all", "/var/mail/all", "/var/mail/all"),
    ],
)
def test_a_template_says_where_a_mailbox_is(text: str, prefix: str, path: str) -> None:
    """Placeholders are filled with safe names; the prefix is what comes before them."""
    template = Template(text)
    assert template.prefix == Path(prefix)
    assert template.path("b/c", "d.example") == Path(path)


@pytest.mark.parametrize(
    "text", ["mail/{user}", "/m/../{user}", "/m/{nobody}", "/m/{user", "/m/\0", "/m/{}"]
)
def test_a_template_that_cannot_be_is_refused(text: str) -> None:
    """Relative paths, "..", unknown placeholders and lone braces are errors at the start."""
    with pytest.raises(ValueError):
        Template(text)


def test_a_long_name_in_a_template_is_bounded() -> None:
    """Two placeholders in one name may be too much for a file system together."""
    path = Template("/m/{user}@{domain}").path("/" * 64, "d." * 120 + "example")
    assert len(path.name) <= 255


def test_a_message_arrives_in_new_with_its_sizes_in_its_name(tmp_path: Path) -> None:
    """Stored with LF; S= is its size on the disk, W= that with CRLF; modes 0700 and 0600."""
    maildir = Maildir(tmp_path / "d.example" / "bob" / "Maildir", tmp_path)
    assert deliver([copy(maildir)], names()) == [None]
    message = one(maildir)
    with maildir.open(message) as file:
        octets = file.read()
    assert octets == b"Return-Path: <>\n" + TEXT.replace(b"\r\n", b"\n")
    assert message.recent
    assert message.name.size == len(octets) == maildir.size(message)
    assert message.name.wire_size == len(b"Return-Path: <>\r\n" + TEXT)
    assert message.name.unique.startswith("1763840000.M250000P")
    assert stat.S_IMODE(maildir.file(message).stat().st_mode) == 0o600
    for folder in (maildir.path.parent.parent, maildir.path, maildir.path / "cur"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not list((maildir.path / "tmp").iterdir())


def test_line_ends_may_stay_as_they_came(tmp_path: Path) -> None:
    """With "crlf" nothing is changed, and both sizes are the same."""
    maildir = Maildir(tmp_path / "M")
    assert deliver([replace(copy(maildir), line_ends="crlf")], names()) == [None]
    message = one(maildir)
    assert maildir.file(message).read_bytes() == b"Return-Path: <>\r\n" + TEXT
    assert message.name.size == message.name.wire_size


@given(st.binary(max_size=60).map(lambda b: b.replace(b"\0", b"\r\n")), st.data())
def test_cutting_the_octets_changes_nothing(octets: bytes, data: st.DataObject) -> None:
    """CRLF becomes LF wherever the pieces of a large message are cut."""
    whole = copies.LineEnder("lf")
    expected = whole.feed(octets) + whole.finish()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(octets)), max_size=6)))
    pieces = copies.LineEnder("lf")
    edges = [0, *cuts, len(octets)]
    parts = [pieces.feed(octets[a:b]) for a, b in itertools.pairwise(edges)]
    assert b"".join(parts) + pieces.finish() == expected == octets.replace(b"\r\n", b"\n")
    assert pieces.size == whole.size == len(expected)
    bare = expected.count(b"\n") - expected.count(b"\r\n")
    assert pieces.wire_size == whole.wire_size == len(expected) + bare


def test_large_content_is_streamed(tmp_path: Path) -> None:
    """A body that is opened is read in pieces, a CR at the edge of one included."""
    body = b"x" * (copies.CHUNK - len(b"Received: y\r\n") - 1) + b"\r\n" + b"y" * 100 + b"\r\n"
    maildir = Maildir(tmp_path / "M")
    content = Content(b"Received: y\r\n", lambda: io.BytesIO(body), len(body))
    assert deliver([Copy(maildir, b"A: b\r\n", content, maildir)], names()) == [None]
    stored = maildir.file(one(maildir)).read_bytes()
    assert stored == (b"A: b\r\nReceived: y\r\n" + body).replace(b"\r\n", b"\n")


@pytest.mark.parametrize("syncfs_from", [0, 2])
def test_many_copies_arrive_in_one_go(tmp_path: Path, syncfs_from: int) -> None:
    """With one sync for all or one for each, every copy has a name of its own."""
    boxes = [Maildir(tmp_path / name) for name in "abc"]
    results = deliver([copy(box) for box in boxes * 3], names(), syncfs_from)
    assert results == [None] * 9
    found = [message.file for box in boxes for message in box.messages()]
    assert len(found) == len(set(found)) == 9


def test_one_that_fails_does_not_touch_the_others(tmp_path: Path) -> None:
    """Each copy has its own result; what failed leaves nothing in tmp or new."""

    def cannot() -> io.BytesIO:
        raise RuntimeError("no such body")

    good, bad = Maildir(tmp_path / "good"), Maildir(tmp_path / "bad")
    broken = Copy(bad, b"", Content(b"", cannot, 5), bad)
    results = deliver([copy(good), broken, copy(good)], names())
    assert results[0] is None and results[2] is None
    assert isinstance(results[1], RuntimeError)
    assert len(list(good.messages())) == 2
    assert not [file for file in bad.path.rglob("*") if file.is_file()]


@pytest.mark.parametrize("step", ["write", "fsync", "rename", "sync_folder", "_syncfs"])
def test_a_failure_at_any_step_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """A full or failing disk at each call: an OSError back, no file in tmp or new."""
    maildir = Maildir(tmp_path / "M")
    maildir.create()
    quota.recount(maildir, Quota(10_000), "q", NOW)

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space")

    where = os if step in ("write", "fsync", "rename") else copies
    together = 1 if step == "_syncfs" else 0
    with monkeypatch.context() as patch:
        if step == "write":
            patch.setattr(copies, "_write", fail)
        else:
            patch.setattr(where, step, fail)
        (failed,) = deliver([copy(maildir, quota=Quota(10_000))], names(), together)
    assert isinstance(failed, OSError) and failed.errno == errno.ENOSPC
    files = [file.name for file in maildir.path.rglob("*") if file.is_file()]
    assert files == ["maildirsize"]
    usage = quota.read(maildir)
    assert usage is not None and (usage.octets, usage.messages) == (0, 0)


def test_a_short_write_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that takes a part at a time still gets the whole message."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, octets: write(file, bytes(octets[:7])))
    maildir = Maildir(tmp_path / "M")
    assert deliver([copy(maildir)], names()) == [None]
    assert maildir.file(one(maildir)).read_bytes().endswith(b"One.\nTwo.\n")


def test_a_missing_maildir_is_made_only_where_wished(tmp_path: Path) -> None:
    """`create` False keeps a disk that is not mounted from filling the one below it."""
    maildir = Maildir(tmp_path / "M")
    (failed,) = deliver([copy(maildir, create=False)], names())
    assert isinstance(failed, FileNotFoundError)
    assert not maildir.path.exists()


@pytest.mark.parametrize("place", ["", "tmp", "new"])
def test_no_link_leads_out_of_the_root(tmp_path: Path, place: str) -> None:
    """A mailbox whose path or folders are links to elsewhere is refused (ELOOP)."""
    root, outside = tmp_path / "mail", tmp_path / "outside"
    for folder in ("tmp", "new", "cur"):
        (outside / folder).mkdir(parents=True)
    root.mkdir()
    if place:
        (root / "bob").mkdir()
        (root / "bob" / place).symlink_to(outside / place)
    else:
        (root / "bob").symlink_to(outside)
    (failed,) = deliver([copy(Maildir(root / "bob", root))], names())
    assert isinstance(failed, OSError) and failed.errno == errno.ELOOP
    assert not list((outside / "new").iterdir())


def test_links_that_stay_inside_are_followed(tmp_path: Path) -> None:
    """An operator may give one mailbox two names."""
    Maildir(tmp_path / "robert").create()
    (tmp_path / "bob").symlink_to("robert")
    assert deliver([copy(Maildir(tmp_path / "bob", tmp_path))], names()) == [None]
    assert len(list(Maildir(tmp_path / "robert").messages())) == 1


def test_a_file_in_the_way_is_not_followed(tmp_path: Path) -> None:
    """A mailbox that is a file is an error, and the file stays."""
    (tmp_path / "bob").write_text("mbox?")
    (failed,) = deliver([copy(Maildir(tmp_path / "bob", tmp_path))], names())
    assert isinstance(failed, OSError)
    assert (tmp_path / "bob").read_text() == "mbox?"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_files_get_their_owner(tmp_path: Path) -> None:
    """Folders, messages and maildirsize belong to the owner that was set."""
    maildir = Maildir(tmp_path / "bob", None, Owner(4711, 4712))
    assert deliver([copy(maildir, quota=Quota(10_000))], names()) == [None]
    for path in (maildir.path, maildir.path / "maildirsize", *maildir.path.rglob("*")):
        assert (path.stat().st_uid, path.stat().st_gid) == (4711, 4712), path


def test_flags_move_a_message_to_cur(tmp_path: Path) -> None:
    """Seen and flagged: the unique part stays, letters are in ASCII order."""
    maildir = Maildir(tmp_path)
    deliver([copy(maildir)], names())
    before = one(maildir)
    after = maildir.set_flags(before, "SF")
    assert after == one(maildir)
    assert not after.recent
    assert after.file == before.file + ":2,FS"
    assert after.name.flags == {"F", "S"}
    assert maildir.set_flags(after, "").file.endswith(":2,")
    maildir.remove(one(maildir))
    assert list(maildir.messages()) == []
    with pytest.raises(FileNotFoundError):
        maildir.remove(after)


@pytest.mark.parametrize(
    ("file", "size", "wire_size", "flags"),
    [
        ("1.a.mx,S=12,W=13:2,FS", 12, 13, "FS"),
        ("1.a.mx:2,", None, None, ""),
        ("1.a.mx", None, None, ""),
        ("1.a.mx,S=x,W=", None, None, ""),
        ("1.a.mx,S=5:1,experimental", 5, None, ""),
        ("1.a.mx,S=1,S=2:2,Sab", 2, None, "Sab"),
    ],
)
def test_file_names_are_read(file: str, size: int, wire_size: int, flags: str) -> None:
    """Sizes and flags where they are there, None and no flags where not."""
    name = FileName.parse(file)
    assert (name.size, name.wire_size, name.flags) == (size, wire_size, frozenset(flags))


@pytest.mark.parametrize("flags", ["1", ["SS"], ["/"], ["ü"]])
def test_flags_are_letters(flags: str) -> None:
    """Nothing else may get into a file name."""
    with pytest.raises(ValueError):
        FileName("x").with_flags(flags)


def test_unique_names_are_unique_and_no_trap() -> None:
    """Slash, colon and comma of a host's name are spelled in octal."""
    many = UniqueNames("a/b:c,d", lambda: NOW)
    made = {many.new() for _ in range(100)}
    assert len(made) == 100
    assert all(name.endswith(r".a\057b\072c\054d") for name in made)


def test_folders_are_listed_and_named(tmp_path: Path) -> None:
    """Maildir++ folders are those with new and cur; other hidden things are not."""
    inbox = Maildir(tmp_path)
    for name in ("Sent", "lists.twisted"):
        inbox.folder(name).create()
    (tmp_path / ".cache").mkdir()
    (tmp_path / "..odd").mkdir()
    assert inbox.folders() == ["Sent", "lists.twisted"]
    assert inbox.folder("") is inbox
    for wrong in ("..", "a..b", "a/b", ".a", "a.", "\0"):
        with pytest.raises(ValueError):
            inbox.folder(wrong)


def test_what_a_crash_left_in_tmp_is_removed_after_36_hours(tmp_path: Path) -> None:
    """Younger files may be deliveries that are under way."""
    maildir = Maildir(tmp_path)
    maildir.create()
    for name, age in (("old", STALE + 1), ("young", STALE - 60)):
        path = tmp_path / "tmp" / name
        path.touch()
        os.utime(path, (NOW - age, NOW - age))
    assert maildir.clean(NOW) == 1
    assert [path.name for path in (tmp_path / "tmp").iterdir()] == ["young"]


def test_a_quota_refuses_what_does_not_fit(tmp_path: Path) -> None:
    """The message that does not fit leaves nothing; a smaller one still fits."""
    maildir = Maildir(tmp_path)
    limit = Quota(150)
    assert deliver([copy(maildir, b"x" * 100, quota=limit)], names()) == [None]
    (failed,) = deliver([copy(maildir, b"x" * 100, quota=limit)], names())
    assert isinstance(failed, OverQuota)
    assert deliver([copy(maildir, b"x", quota=limit)], names()) == [None]
    assert len(list(maildir.messages())) == 2
    assert not list((tmp_path / "tmp").iterdir())
    assert (tmp_path / "maildirsize").read_text().startswith("150S\n")


def test_a_quota_counts_messages_too(tmp_path: Path) -> None:
    """So many messages and no more, even within one go."""
    maildir = Maildir(tmp_path)
    results = deliver([copy(maildir, quota=Quota(0, 2)) for _ in range(3)], names())
    assert [type(result) for result in results] == [type(None), type(None), OverQuota]


def test_a_full_mailbox_is_counted_again_before_mail_is_refused(tmp_path: Path) -> None:
    """Another program may have removed messages without saying so."""
    maildir = Maildir(tmp_path)
    limit = Quota(0, 2)
    deliver([copy(maildir, quota=limit) for _ in range(2)], names())
    for message in list(maildir.messages()):
        maildir.remove(message)
    assert deliver([copy(maildir, quota=limit)], names()) == [None]


def test_a_count_is_believed_for_a_while(tmp_path: Path) -> None:
    """Just counted and full: no count for each refused message, until 15 minutes are over."""
    maildir = Maildir(tmp_path)
    maildir.create()
    path = tmp_path / "maildirsize"
    path.write_text("5C\n500 5\n")
    os.utime(path, (NOW - 60, NOW - 60))
    assert isinstance(deliver([copy(maildir, quota=Quota(0, 5))], names())[0], OverQuota)
    os.utime(path, (NOW - 901, NOW - 901))
    assert deliver([copy(maildir, quota=Quota(0, 5))], names()) == [None]


def test_the_quota_of_maildirsize_is_kept_without_one_of_ours(tmp_path: Path) -> None:
    """A mailbox that another program gave a quota has it here too."""
    maildir = Maildir(tmp_path)
    maildir.create()
    (tmp_path / "maildirsize").write_text("1C\n0 0\n")
    results = [deliver([copy(maildir)], names())[0] for _ in range(2)]
    assert results[0] is None and isinstance(results[1], OverQuota)


def test_a_count_leaves_trash_out(tmp_path: Path) -> None:
    """Folders count; Trash, and messages flagged as trashed, do not."""
    inbox = Maildir(tmp_path)
    for name in ("", "Sent", "Trash"):
        deliver([copy(inbox.folder(name), b"x" * 100)], names())
    size = inbox.size(one(inbox))
    assert quota.count(inbox) == (2 * size, 2)
    inbox.set_flags(one(inbox), "T")
    assert quota.count(inbox) == (size, 1)


@pytest.mark.parametrize("content", ["", "torn", "5C\n1\n", "5C\nx y\n", "5C\n" + "1 1\n" * 2000])
def test_a_damaged_maildirsize_is_made_anew(tmp_path: Path, content: str) -> None:
    """Torn, foreign and overlong files are no reason to refuse mail."""
    maildir = Maildir(tmp_path)
    maildir.create()
    (tmp_path / "maildirsize").write_text(content)
    assert deliver([copy(maildir, quota=Quota(0, 5))], names()) == [None]
    first, *_ = (tmp_path / "maildirsize").read_text().splitlines()
    assert first == "5C"


@pytest.mark.parametrize(
    ("text", "quota_"),
    [
        ("100S,5C", Quota(100, 5)),
        ("5C", Quota(0, 5)),
        ("0S", Quota()),
        ("NOQUOTA", None),
        ("", None),
    ],
)
def test_quotas_are_read(text: str, quota_: Quota | None) -> None:
    """As Maildir++ spells them; what it does not spell is no quota."""
    assert Quota.parse(text) == quota_
    if quota_:
        assert Quota.parse(str(quota_)) == quota_


def test_a_quota_file_that_cannot_be_written_leaves_no_draft(tmp_path: Path) -> None:
    """An error while counting is told, and tmp stays clean."""
    maildir = Maildir(tmp_path)
    maildir.create()
    (tmp_path / "maildirsize").mkdir()
    (failed,) = deliver([copy(maildir, quota=Quota(0, 5))], names())
    assert isinstance(failed, OSError)
    assert not list((tmp_path / "tmp").iterdir()) and not list(maildir.messages())


@pytest.mark.parametrize(
    ("system", "release", "can"),
    [("Linux", "5.8.1", True), ("Linux", "4.19", False), ("Darwin", "23.1", False)],
)
def test_syncfs_is_used_where_it_tells_of_failures(
    monkeypatch: pytest.MonkeyPatch, system: str, release: str, can: bool
) -> None:
    """Linux before 5.8 kept failed writes to itself."""
    monkeypatch.setattr("platform.system", lambda: system)
    monkeypatch.setattr("platform.release", lambda: release)
    copies.can_syncfs.cache_clear()
    try:
        assert copies.can_syncfs() is can
    finally:
        copies.can_syncfs.cache_clear()


def test_syncfs_tells_what_went_wrong() -> None:
    """The error's number is the kernel's."""
    with pytest.raises(OSError) as caught:
        copies._syncfs(-1)
    assert caught.value.errno == errno.EBADF
