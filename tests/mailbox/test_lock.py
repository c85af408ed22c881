"""The dotlock: one holder, and locks that were left behind are removed."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mailframe.mailbox import LockLost, MailboxBusy
from mailframe.mailbox.lock import DotLock

HOST = socket.gethostname()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "dovecot-uidlist"


def left(file: Path, owner: str, age: float = 0.0) -> Path:
    lock = file.with_name("dovecot-uidlist.lock")
    lock.write_text(owner)
    os.utime(lock, (time.time() - age,) * 2)
    return lock


def dead() -> int:
    """The number of a process that has ended."""
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


def test_the_lock_names_its_owner(file: Path) -> None:
    """As Dovecot writes it; and it is gone afterwards, also after an exception."""
    lock = file.with_name("dovecot-uidlist.lock")
    with pytest.raises(ZeroDivisionError), DotLock(file) as held:
        assert lock.read_text() == f"{os.getpid()}:{HOST}"
        held.confirm()
        raise ZeroDivisionError
    assert not lock.exists()


def test_who_waits_too_long_is_told(file: Path) -> None:
    """A lock of a living process, of another host, of an unknown owner: all are respected."""
    for owner in (f"{os.getppid()}:{HOST}", f"{dead()}:elsewhere", "", "-1:x", f"0:{HOST}"):
        lock = left(file, owner)
        with pytest.raises(MailboxBusy), DotLock(file, timeout=0.05):
            pass
        assert lock.read_text() == owner


def test_the_lock_of_a_dead_process_is_removed(file: Path) -> None:
    """At once if the process was of this host; or if it had our number before us."""
    for number in (dead(), os.getpid()):
        left(file, f"{number}:{HOST}")
        with DotLock(file, timeout=0.5):
            pass


def test_an_old_lock_is_removed(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After two minutes without a change of it or of the file, whoever holds it."""
    lock = left(file, f"{os.getppid()}:{HOST}")
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() + 119)
    with pytest.raises(MailboxBusy), DotLock(file, timeout=0.05):
        pass
    monkeypatch.setattr(time, "time", lambda: clock() + 121)
    file.touch()
    os.utime(file, (clock() + 60,) * 2)
    with pytest.raises(MailboxBusy), DotLock(file, timeout=0.05):
        pass
    os.utime(file, (clock() - 60,) * 2)
    with DotLock(file, timeout=0.5):
        assert lock.read_text() == f"{os.getpid()}:{HOST}"


def test_who_lost_the_lock_writes_nothing_and_removes_nothing(file: Path) -> None:
    """A holder that slept for too long finds out before its change."""
    lock = file.with_name("dovecot-uidlist.lock")
    with DotLock(file) as held:
        lock.unlink()
        left(file, f"{os.getppid()}:{HOST}")
        with pytest.raises(LockLost):
            held.confirm()
    assert lock.exists()
    lock.unlink()
    with DotLock(file) as held:
        lock.unlink()
        with pytest.raises(LockLost):
            held.confirm()


def test_threads_take_turns(file: Path) -> None:
    """No two threads of one process hold it at once, and none takes another's for a dead one's."""
    inside: list[int] = []
    most: list[int] = []

    def work(number: int) -> None:
        for _ in range(30):
            with DotLock(file):
                inside.append(number)
                most.append(len(inside))
                inside.remove(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 120 and set(most) == {1}


def test_a_thread_waits_no_longer_than_it_said(file: Path) -> None:
    """If another thread of the process keeps the lock."""
    with DotLock(file), pytest.raises(MailboxBusy), DotLock(file, timeout=0.05):
        pass
