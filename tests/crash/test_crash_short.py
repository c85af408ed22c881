"""A minute of crashes of a real host; `make crash` goes on for much longer."""

from __future__ import annotations

import crash_clock
import crash_damage
import crash_disks
import crash_kills
import crash_syncs
import pytest

pytestmark = pytest.mark.live


def judge(scenario, folder, *words, **more):
    """Run it; nothing may be wrong. Where the machine cannot, it is skipped."""
    told = []
    try:
        book = scenario(folder, told.append, *words, **more)
    except crash_disks.CannotRun as reason:
        pytest.skip(str(reason))
    print("\n".join([*told, book.summary()]))
    assert not book.wrong(), "\n".join([*told, book.summary()])
    assert book.accepted
    return book


@pytest.mark.parametrize("relay", [False, True], ids=["maildir", "relay"])
def test_kills(tmp_path, relay):
    """After SIGKILL at random moments every message that got 250 is there, whole."""
    book = judge(crash_kills.kills, tmp_path, kills=4, seed=4, relay=relay)
    assert len(book.kills) >= 4
    assert bool(book.bounced) is relay


def test_a_full_disk(tmp_path, need):
    """A full disk is 452 4.3.1, and with space again all goes on."""
    need(root=True)
    judge(crash_disks.full, tmp_path, size="16m")


def test_a_read_only_disk(tmp_path, need):
    """When the kernel makes the disk read-only clients read 4xx, and nothing is lost."""
    need(root=True)
    judge(crash_disks.read_only, tmp_path)


def test_a_failing_disk(tmp_path, need):
    """While writes and syncs fail clients read 4xx; afterwards all goes on by itself."""
    need("strace")
    judge(crash_disks.failing, tmp_path)


def test_damage(tmp_path):
    """Damaged pages and body files are set aside and reported, the rest is delivered."""
    judge(crash_damage.damage, tmp_path, rounds=2)


def test_the_clock_jumps(tmp_path, need):
    """A day ahead and back: nothing is given up, nothing waits for a day."""
    need("faketime")
    judge(crash_clock.jumps, tmp_path)


def test_syncs_come_before_250(tmp_path, need):
    """The kernel has synced log, body and folder before the client reads 250."""
    need("strace")
    judge(crash_syncs.syncs, tmp_path)
