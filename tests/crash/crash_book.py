"""Who was promised what, what has turned up where, and whether the promises hold."""

from __future__ import annotations

import email
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from crash_letters import Letter, is_letter, letter_in, wrong_with

IN_FLIGHT = 15.0  # seconds that a delivery may have been on its way when it was killed
_SLACK = 0.5  # seconds between a file's time and ours

Pair = tuple[str, str]  # a letter's name, a recipient


@dataclass(frozen=True, slots=True)
class Found:
    """One copy at its destination; `answered`: the next hop's 250 left it."""

    when: float
    answered: bool = True


@dataclass
class Book:
    """Filled by threads; `lock` guards it."""

    started: float = field(default_factory=time.time)
    accepted: dict[str, tuple[str, ...]] = field(default_factory=dict)
    uncertain: set[str] = field(default_factory=set)
    replies: Counter[str] = field(default_factory=Counter)
    copies: dict[Pair, list[Found]] = field(default_factory=dict)
    bounced: Counter[Pair] = field(default_factory=Counter)
    kills: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def promise(self, letter: Letter, recipients: tuple[str, ...]) -> None:
        """The client read 250."""
        with self.lock:
            self.uncertain.discard(letter.name)
            self.accepted[letter.name] = recipients

    def fault(self, what: str) -> None:
        with self.lock:
            if len(self.faults) < 1000:
                self.faults.append(what)

    def arrived(self, octets: bytes, recipient: str, when: float, answered: bool = True) -> None:
        """A copy is at its destination: it must be whole."""
        wrong = wrong_with(octets)
        letter = letter_in(octets)
        if wrong or letter is None:
            self.fault(f"for {recipient}: {wrong}")
            return
        with self.lock:
            self.copies.setdefault((letter.name, recipient), []).append(Found(when, answered))

    def returned(self, octets: bytes) -> None:
        """A report came to the sender."""
        letter = letter_in(octets)
        if letter is None:
            self.fault(f"neither a letter nor a report: {octets[:200]!r}")
            return
        for part in email.message_from_bytes(octets).walk():
            recipient = part.get("Final-Recipient", "").partition(";")[2].strip()
            if recipient and part.get("Action") == "failed":
                with self.lock:
                    self.bounced[letter.name, recipient] += 1

    def harvest(self, mail: Path) -> int:
        """Check and take away what is in the Maildirs under `mail`; how many files."""
        count = 0
        for new in sorted(mail.glob("*/*/Maildir/new")):
            recipient = f"{new.parts[-3]}@{new.parts[-4]}"
            for file in sorted(new.iterdir()):
                octets, when = file.read_bytes(), file.stat().st_mtime
                if is_letter(octets):
                    self.arrived(octets, recipient, when)
                else:
                    self.returned(octets)
                file.unlink()
                count += 1
        return count

    def missing(self) -> list[Pair]:
        """What was promised and is neither delivered nor reported."""
        with self.lock:
            return [
                (name, recipient)
                for name, recipients in self.accepted.items()
                for recipient in recipients
                if (name, recipient) not in self.copies and not self.bounced[name, recipient]
            ]

    def repeated(self) -> tuple[int, list[str]]:
        """How many copies are too many, and those that no kill and no hang-up explains."""
        count, strange = 0, list[str]()
        for (name, recipient), found in self.copies.items():
            found = sorted(found, key=lambda copy: copy.when)
            count += len(found) - 1
            for one, two in pairwise(found):
                if one.answered and not self._killed(one.when, two.when):
                    gap = two.when - one.when
                    strange.append(f"{name} for {recipient} came again after {gap:.1f} s")
        return count, strange

    def _killed(self, one: float, two: float) -> bool:
        return any(
            one - _SLACK <= kill <= two + _SLACK and kill - one < IN_FLIGHT for kill in self.kills
        )

    def twice_told(self) -> int:
        """How many were delivered and reported as failed, or reported twice."""
        both = sum(1 for pair in self.bounced if pair in self.copies)
        return both + sum(count - 1 for count in self.bounced.values() if count > 1)

    def wrong(self) -> list[str]:
        """Everything that must not be."""
        lost = [f"LOST {name} for {recipient}" for name, recipient in self.missing()]
        return lost + [f"TWICE {what}" for what in self.repeated()[1]] + self.faults

    def summary(self) -> str:
        """One line of figures, and the first of what is wrong."""
        wrong = self.wrong()
        pairs = sum(len(recipients) for recipients in self.accepted.values())
        unclear = sum(1 for name, _ in self.copies if name in self.uncertain)
        line = (
            f"{len(self.kills)} kills, {len(self.accepted)} messages accepted for {pairs} boxes, "
            f"{len(self.uncertain)} without an answer ({unclear} of them arrived), "
            f"{len(self.missing())} lost, {len(self.faults)} faults, "
            f"{self.repeated()[0]} duplicates ({len(self.repeated()[1])} unexplained), "
            f"{sum(self.bounced.values())} reports ({self.twice_told()} of them besides), "
            f"{time.time() - self.started:.0f} s"
        )  # fmt: skip
        codes = ", ".join(f"{count} × {reply}" for reply, count in self.replies.most_common(8))
        return "\n".join([line, f"  replies: {codes}", *(f"  {each}" for each in wrong[:20])])
