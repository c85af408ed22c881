"""Aliases, expansion and the queue over hours of a virtual clock, and an oracle of the whole run.

A round is a random file of aliases, routers, agents and a store that fail at random
(fuzz_agents), one or two hosts over one queue, messages, restarts and steps of the wall clock.
When all has calmed down:

- every address that an accepted recipient stands for (found out here by the aliases alone) was
  delivered or reported, or one that led to it was; nothing else was delivered;
- none twice to one (address, reverse-path), unless an outcome was lost by a fault, or it is
  reached on several ways of which some were not known at first, or a store that failed lost its
  lease or kept an outcome from being recorded before a stop; none delivered and reported;
- nobody stands for more than `retry.expansion` addresses;
- the queue is empty, and every window, share, turn, lease and timer is given back.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

from fuzz_agents import (
    OURS,
    SENDERS,
    Fate,
    WildAgent,
    WildRouter,
    shared,
)
from fuzz_faults import heard_faults
from fuzz_replies import Broken
from queue_kit import TIMES, House
from twisted.internet.task import Clock

from mailframe.hooks import Bound
from mailframe.message import Recipient, Redirect
from mailframe.message.vocabulary import Verdict
from mailframe.plugin import SettingError
from mailframe.smtp.address import Mailbox
from mailframe.testing.values import site
from mailframe_plugins.queue_memory import Memory
from mailframe_plugins.route_aliases import FileAliases, Settings

NAMES = tuple(f"n{number}" for number in range(8))
HOURS = 3600.0
GIVE_UP = 3 * HOURS
MOST_EVENTS = 200_000
_FAULTS = ("plugin", "is bypassed", "failed, trying again", "broken", "could not be queued", "full")


@dataclass
class Sent:
    """A message that was accepted, with the recipients of its envelope."""

    id: str
    sender: Mailbox | None
    recipients: list[Recipient]


class QueueRound:
    """Hosts and mail out of a seed; `folder` is empty, for the aliases."""

    def __init__(self, random: Random, folder: Path) -> None:
        self.random = random
        self.clock = Clock()
        self.clock.advance(1_000_000)
        wild = random.choice((0.0, 0.05, 0.2, 0.5))
        self.fate = Fate(random, self.clock, wild, 1_000_000 + 1.5 * HOURS)
        self.most = random.choice((2, 3, 5, 5000))
        self.memory = Memory(1 << 30)
        self.sent: list[Sent] = []
        self.text = ""
        self._number = 0
        self._make_routers(folder)
        self.times = replace(
            TIMES,
            waits=(60.0, 300.0, 900.0),
            warn_after=random.choice((None, HOURS)),
            give_up_after=GIVE_UP,
            active=random.choice((1, 2, 8, 200)),
            per_destination=random.choice((1, 2, 20)),
            expansion=self.most,
            attempt_timeout=random.choice((60.0, 3600.0)),
        )
        for host in ("far1.example", "far2.example", "relay.example"):
            if random.random() < wild:
                start = 1_000_000 + random.random() * HOURS
                self.fate.down[host].append((start, start + random.random() * 4 * HOURS))
        self.gone: list[House] = []
        self.houses = [self._house() for _ in range(random.choice((1, 1, 2)))]

    def _make_routers(self, folder: Path) -> None:
        random = self.random
        redirects = {
            name: tuple(self._address() for _ in range(random.choice((1, 1, 2, 3))))
            for name in NAMES
            if random.random() < 0.15
        }
        users = {name for name in NAMES if random.random() < 0.7}
        self.router = WildRouter(self.fate, redirects, users)
        self.aliases = self._aliases(folder)

    def _aliases(self, folder: Path) -> FileAliases:
        """A file of random lines; those that close a circle are left out."""
        lines: dict[str, str] = {}
        for _ in range(self.random.randrange(9)):
            name, targets = self._line(folder)
            lines[name.lower()] = targets
        while True:
            self.text = "".join(f"{name}: {targets}\n" for name, targets in lines.items())
            (folder / "aliases").write_text(self.text)
            settings = Settings(file=Path("aliases"), domains=OURS)
            try:
                return FileAliases(settings, site(folder, reactor=self.clock))
            except SettingError as wrong:
                at = re.search(r"aliases:(\d+)", str(wrong))
                if at is None:
                    raise
                del lines[list(lines)[int(at[1]) - 1]]

    def _line(self, folder: Path) -> tuple[str, str]:
        random, name = self.random, self.random.choice(NAMES)
        targets = [self._target(name) for _ in range(random.choice((1, 1, 2, 3, 6)))]
        how = random.randrange(10)
        if how == 0:
            return f"@{random.choice(OURS)}", random.choice((f"@{OURS[1]}", targets[0]))
        if how == 1:
            return f"owner-{name}", targets[0]
        if how == 2:
            return f"{name}@{random.choice(OURS)}", ", ".join(targets)
        if how == 3:
            (folder / f"members-{name}").write_text("\n".join(targets) + "\n")
            return name, f":include:members-{name}"
        return name, ", ".join(targets)

    def _target(self, name: str) -> str:
        random = self.random
        if random.random() < 0.2:
            return name
        return random.choice((self._local(), str(self._address())))

    def _local(self) -> str:
        random, name = self.random, self.random.choice(NAMES)
        if random.random() < 0.15:
            name = name.upper()
        return f"{name}+{random.choice('xy')}" if random.random() < 0.15 else name

    def _address(self) -> Mailbox:
        random = self.random
        domain = random.choice((*OURS, *OURS, "far1.example", "far2.example", "far0.example"))
        return Mailbox(self._local(), domain)

    def _house(self) -> House:
        agents = {
            name: Bound("deliver", name, WildAgent(self.fate), timeout=300.0)
            for name in ("smtp", "local")
        }
        house = House(
            self.times,
            store=shared(self.fate, self.memory, self.most),
            clock=self.clock,
            agents=agents,
            routes=[self.aliases],
            chance=lambda: self.random.uniform(-1, 1),
            start=False,
        )
        house.router.route = self.router.route
        object.__setattr__(house.hooks, "expansion", self.most)
        house.scheduler.startService()
        return house

    def play(self) -> None:
        """Hours of it, until nothing waits any more. Raises Broken."""
        random, clock = self.random, self.clock
        with heard_faults(*_FAULTS) as faults:
            for _ in range(random.choice((1, 2, 4, 10))):
                clock.callLater(random.choice((0.0, random.random() * HOURS)), self._send)
            if random.random() < 0.3:
                clock.callLater(random.random() * HOURS, self._restart)
            if random.random() < 0.1:
                clock.callLater(random.random() * HOURS, self._step_clock)
            self._run()
            self._judge_ends()
        if faults:
            raise Broken(f"the log: {faults[:2]}")
        self._judge_mail()

    def _send(self) -> None:
        random = self.random
        self._number += 1
        id = f"M{self._number}"
        to = [
            Recipient(self._address(), random.choice((None, None, None, frozenset({"NEVER"}))))
            for _ in range(random.choice((1, 1, 2, 3, 8)))
        ]
        if random.random() < 0.2:
            to.append(random.choice(to))
        sender = random.choice((None, f"s@{SENDERS}", f"s@{SENDERS}"))
        body = b"Subject: hello\r\n\r\nHello there.\r\n"
        if random.random() < 0.1:
            body = f"Delivered-To: {self._address()}\r\n".encode() + body
        house = random.choice(self.houses)
        try:
            house.send(*to, id=id, sender=sender, body=body)
        except OSError:
            return  # the client was told
        mailbox = None if sender is None else Mailbox("s", SENDERS)
        self.sent.append(Sent(id, mailbox, to))
        self.fate.say(f"{id} from {sender} to {', '.join(str(each.address) for each in to)}")

    def _restart(self) -> None:
        house = self.random.choice(self.houses)
        self.fate.say("a host stops")
        self.houses.remove(house)
        self.gone.append(house)
        stopped = house.scheduler.stopService()

        def again(_: Any) -> None:
            self.fate.unkept |= house.store.unrecorded
            house.store.close()
            self.fate.say("and starts again")
            self.houses.append(self._house())

        stopped.addCallback(again)
        if not self.houses:
            # Mail comes in at one that stops, too.
            self.houses.append(self._house())

    def _step_clock(self) -> None:
        seconds = self.random.choice((-HOURS, -100.0, 100.0, HOURS))
        self.fate.say(f"the clock steps by {seconds} s")
        for house in (*self.houses, *self.gone):
            house.offset += seconds

    def _run(self) -> None:
        clock, end = self.clock, 1_000_000 + 3 * GIVE_UP
        for _ in range(MOST_EVENTS):
            calls = clock.getDelayedCalls()
            due = min((call.getTime() for call in calls), default=end)
            calm = clock.seconds() > self.fate.wild_until and len(self.sent) >= self._number
            if due >= end or (calm and not self.memory.kept and self._is_idle()):
                return
            clock.advance(max(0.0, due - clock.seconds()))
        raise Broken("it never ends")

    def _is_idle(self) -> bool:
        return not any(
            row.get("active") for house in self.houses for row in house.scheduler.state()
        )

    def _judge_ends(self) -> None:
        """Nothing is held any more."""
        if self.memory.kept:
            id, kept = next(iter(self.memory.kept.items()))
            raise Broken(f"{id} waits for ever: {kept}")
        for house in (*self.houses, *self.gone):
            if house.store.wrong:
                raise Broken(house.store.wrong)
            window, *places = house.scheduler.state()
            if window["active"] or any(row["running"] or row["waiting"] for row in places):
                raise Broken(f"what is held: {window} {places}")
            destinations = house.scheduler._destinations
            shares = destinations._shares
            if any(shares._held.values()) or +destinations._waiting or destinations._turns:
                raise Broken(f"shares are lost: {shares._held} {destinations._waiting}")
            if shares._common != self.times.active - shares.kept * len(house.hooks.agents):
                raise Broken(f"the common share is {shares._common}")
        stopped: list[Any] = []
        for house in self.houses:
            house.scheduler.stopService().addBoth(stopped.append)
        self.clock.pump([31.0, 0.0])
        if stopped != [None] * len(self.houses):
            raise Broken(f"a host does not stop: {stopped}")
        if calls := self.clock.getDelayedCalls():
            raise Broken(f"timers are left: {calls[0]}")

    def _judge_mail(self) -> None:
        failed = self._failures()
        for sent in self.sent:
            ways: Counter[tuple[Mailbox, Mailbox | None]] = Counter()
            for recipient in dict.fromkeys(sent.recipients):
                self._judge_recipient(sent, recipient, failed, ways)
            self._judge_copies(sent, failed, ways)

    def _failures(self) -> Counter[tuple[str, str]]:
        """How often a failure of this message and address was told, or should not be."""
        failed: Counter[tuple[str, str]] = Counter()
        told = (Verdict.REPORTED, Verdict.NOT_REPORTED, Verdict.DOUBLE_BOUNCE)
        for house in (*self.houses, *self.gone):
            for event in house.told.events:
                if event.verdict in told and event.facts.get("action") == "failed":
                    failed[event.id, event.facts["recipient"].lower()] += 1
        return failed

    def _children(self, recipient: Recipient) -> Iterator[Recipient]:
        """Those that it stands for, by the routers' pure answers; nothing for an end."""
        for router, answer in (
            ("file", self.aliases.route(None, recipient)),  # type: ignore[arg-type]
            ("own", self.router.answer(recipient)),
        ):
            if router == "own" and answer is None:
                return
            if isinstance(answer, Redirect):
                way = (*recipient.came_from, recipient.address)
                for address in dict.fromkeys(answer.addresses):
                    # A copy for itself is what the next router makes of it.
                    sender = answer.sender or recipient.sender
                    yield Recipient(address, came_from=way, sender=sender)
                return
            if answer is not None:
                return

    def _judge_recipient(
        self,
        sent: Sent,
        recipient: Recipient,
        failed: Counter[tuple[str, str]],
        ways: Counter[tuple[Mailbox, Mailbox | None]],
    ) -> bool:
        if not self._is_covered(sent, recipient, failed, ways, 0):
            raise Broken(f"{sent.id}: {recipient.address} was neither delivered nor reported")
        return True

    def _is_covered(
        self,
        sent: Sent,
        recipient: Recipient,
        failed: Counter[tuple[str, str]],
        ways: Counter[tuple[Mailbox, Mailbox | None]],
        depth: int,
    ) -> bool:
        ways[recipient.key] += 1
        # Who is the same but for its case is known to be so by the routers alone.
        been = frozenset(recipient.came_from)
        children = list(self._children(recipient)) if depth < 25 else []
        itself = [each for each in children if _folded(each.address) == _folded(recipient.address)]
        others = [each for each in children if each not in itself]
        new = [each for each in others if each.address not in been]
        covered = [self._is_covered(sent, each, failed, ways, depth + 1) for each in new]
        for each in (*itself, *(each for each in others if each not in new)):
            ways[each.key] += 1
        own = any(
            self._has(sent, each) or failed[sent.id, str(each.address).lower()] for each in itself
        )
        for each in itself:
            # The copy that it keeps may be redirected by the next router.
            answer = self.router.answer(each)
            if isinstance(answer, Redirect) and depth < 25:
                way = (*each.came_from, each.address)
                on = [Recipient(to, came_from=way, sender=each.sender) for to in answer.addresses]
                reached = [self._is_covered(sent, to, failed, ways, depth + 1) for to in on]
                own = own or all(reached)
        if failed[sent.id, str(recipient.address).lower()] or self._has(sent, recipient):
            return True
        if itself and not own:
            return False
        return bool(new or itself) and all(covered)

    def _has(self, sent: Sent, recipient: Recipient) -> bool:
        """Whether its address has a copy; of several ways in a list the nearest one counts."""
        fate, address = self.fate, recipient.address
        if (sent.id, address) in fate.reached:
            return True
        name, _, tag = address.local.lower().partition("+")
        box = (sent.id, Mailbox(name, address.domain), tag)
        return address.domain in OURS and box in fate.boxes

    def _judge_copies(
        self,
        sent: Sent,
        failed: Counter[tuple[str, str]],
        ways: Counter[tuple[Mailbox, Mailbox | None]],
    ) -> None:
        fate = self.fate
        if self._is_twice(sent):
            return
        # Failures are told by the address alone, whatever its case.
        spelled = Counter(str(address).lower() for address, _ in ways)
        for key, copies in fate.delivered.items():
            id, address, sender = key
            if id != sent.id or key in fate.lost:
                continue
            if (address, sender) not in ways:
                raise Broken(f"{id}: {address} ({sender}) was delivered, and nobody sent it there")
            several = id in fate.unsure or self.most < 100
            if copies > (ways[address, sender] if several else 1):
                raise Broken(f"{id}: {address} ({sender}) was delivered {copies} times")
            text = str(address).lower()
            if spelled[text] == ways[address, sender] == 1 and failed[id, text]:
                raise Broken(f"{id}: {address} was delivered and reported as failed")
        for (id, text), times in failed.items():
            if id == sent.id and times > sum(
                count for (address, _), count in ways.items() if str(address).lower() == text
            ):
                raise Broken(f"{id}: {text} was reported {times} times")

    def _is_twice(self, sent: Sent) -> bool:
        """Whether a failing store let it be begun anew: by a lease that ended, or amid a stop."""
        return sent.id in self.fate.unkept or any(
            event.verdict is Verdict.LEASE_LOST and event.id == sent.id
            for house in (*self.houses, *self.gone)
            for event in house.told.events
        )

    def shown(self) -> str:
        """The aliases, and all that happened."""
        redirects = {name: [*map(str, to)] for name, to in self.router.redirects.items()}
        lines = [self.text, f"redirects {redirects}", f"users {sorted(self.router.users)}"]
        lines.append(f"wild {self.fate.wild}, expansion {self.most}, {len(self.houses)} hosts")
        return "\n".join([*lines, *self.fate.log])


def _folded(address: Mailbox) -> tuple[str, str]:
    return address.local.lower(), address.domain


def queue_round(name: str, folder: Path) -> QueueRound:
    """The round of this name, SEED:INDEX; its files are in the folder."""
    return QueueRound(Random(name), folder)
