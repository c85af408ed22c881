"""`mailframe queue`: shows the mail that waits, and changes it."""

from __future__ import annotations

import base64
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import click

from .commands import Chosen
from .failures import no_such
from .session import session
from .siblings import Answering
from .text import clock, facts, octets, path, safe, say, say_json, span

if TYPE_CHECKING:
    from ..host.control import Row

PAGE = 500  # messages in one request


@click.group("queue")
def command() -> None:
    """List, show and change the messages in the queue."""


def pages(
    host: Answering, after: str = "", limit: int = 0, address: str = "", hold: bool | None = None
) -> Iterator[list[Row]]:
    """The queue from `after` on, page by page; a `limit` of 0 means all of it."""
    left = limit
    while True:
        size = min(PAGE, left) if limit else PAGE
        page = list(host.ask("find", after=after, limit=size, address=address, hold=hold))
        if page:
            yield page
        left -= len(page)
        if len(page) < size or (limit and left <= 0):
            return
        after = page[-1]["id"]


@command.command("list")
@click.option("--address", default="", metavar="A", help="Sender or recipient; @domain for all.")
@click.option("--held", is_flag=True, help="Only messages on hold.")
@click.option("--limit", type=click.IntRange(0), default=100, help="At most so many; 0 for all.")
@click.option("--after", default="", metavar="ID", help="Begin after this message.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def list_(chosen: Chosen, address: str, held: bool, limit: int, after: str, as_json: bool) -> None:
    """List messages, oldest first."""
    last, count, now = "", 0, time.time()
    with session(chosen.composition(), chosen.reactor) as host:
        for page in pages(host, after, limit, address, True if held else None):
            for row in page:
                say_json(row) if as_json else _print_line(row, now)
            last, count = page[-1]["id"], count + len(page)
    if as_json:
        return
    if limit and count == limit:
        click.echo(f"perhaps more: --after {last}, or --limit 0 for all", err=True)
    elif not count:
        click.echo("nothing waits" if not (address or held or after) else "none", err=True)


def _print_line(row: Row, now: float) -> None:
    held = f"held ({row['held']}) " if row["held"] else "held "
    marks = held if row["hold"] else "active " if row["leased"] else ""
    age, size = span(now - row["created"]), octets(row["size"])
    say(f"{row['id']}  {age:>7} {size:>6}  {marks}from {path(row['sender'])}")
    for recipient in row["recipients"][:3]:
        say(f"    {_recipient(recipient, now)}")
    if len(row["recipients"]) > 3:
        say(f"    and {len(row['recipients']) - 3} more")


def _recipient(recipient: Row, now: float) -> str:
    due = recipient["due"] - now
    when = f"in {span(due)}" if due > 0 else "now"
    tries = recipient["attempts"]
    said = f"{tries} tries, next {when}" if tries else f"due {when}"
    by = f" ({recipient['remote']})" if recipient["remote"] else ""
    last = f": {recipient['last']}{by}" if recipient["last"] else ""
    return f"{path(recipient['address'])} {said}{last}"


@command.command("show")
@click.argument("id")
@click.option("--content", is_flag=True, help="Print the message itself, octet by octet.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_obj
def show(chosen: Chosen, id: str, content: bool, as_json: bool) -> None:
    """Show one message: its envelope, its recipients, and their last replies."""
    with session(chosen.composition(), chosen.reactor) as host:
        if content:
            found = _write_content(host, id)
        else:
            found = False
            for row in host.ask("get", id=id):
                found = True
                say_json(row) if as_json else _print_message(row, time.time())
    if not found:
        raise no_such(f"there is no message {id} in the queue")


def _write_content(host: Answering, id: str) -> bool:
    found = False
    for row in host.ask("content", id=id):
        found = True
        sys.stdout.buffer.write(base64.b64decode(row["octets"]))
    sys.stdout.buffer.flush()
    return found


def _print_message(row: Row, now: float) -> None:
    say(f"{row['id']}  {octets(row['size'])}, since {clock(row['created'])}")
    if row["hold"] or row["leased"]:
        why = f": {row['held']}" if row["held"] else ""
        say(f"  on hold{why}" if row["hold"] else "  being delivered")
    say(f"  from {path(row['sender'])}", *facts({"envid": row["envid"]}))
    who = {key: row[key] for key in ("client", "hello", "listener", "user")}
    say("  came by", *facts(who))
    if row["signals"]:
        say("  signals", *facts(row["signals"]))
    for each in row["results"]:
        found = {each["method"]: each["result"], "reason": each["reason"], **each["properties"]}
        say("  result", *facts(found))
    for recipient in row["recipients"]:
        say(f"  to {_recipient(recipient, now)}")
        if recipient["original"] != recipient["address"]:
            say(f"     for {path(recipient['original'])}")


@command.command("summary")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def summary(chosen: Chosen, as_json: bool) -> None:
    """Count the messages; name damaged ones, and destinations that are not tried now."""
    with session(chosen.composition(), chosen.reactor) as host:
        left_alone = [row for row in host.ask("gauges", of="queue") if row.get("down_for")]
        left_alone += [row for row in host.ask("gauges", of="hooks") if row.get("open_for")]
        for row in [*host.ask("summary"), *left_alone]:
            if as_json:
                say_json(row)
            elif "corrupt" in row:
                say("damaged:", row["corrupt"])
            elif "down_for" in row:
                who = f"{row['agent']} to {row['host']}"
                say(f"left alone: {who}, for {span(row['down_for'])} more:", row["reply"])
            elif "open_for" in row:
                who = f"{row['stage']} plugin {row['plugin']} at {row['method']}"
                who += f" about {row['about']} alone" if "about" in row else ""
                again = f"{row['faults']} faults in a row"
                say(f"left alone: {who}, for {span(row['open_for'])} more:", again)
            else:
                for name, count in row["counts"].items():
                    say(f"{count:>9}  {name}")
                if row["next_due"] is not None:
                    due = row["next_due"] - time.time()
                    say("next due", f"in {span(due)}" if due > 0 else "now")


def _changing(verb: str, meaning: str, past: str) -> None:
    """Add `mailframe queue VERB`, which changes some messages or all."""

    @command.command(verb, help=meaning)
    @click.argument("ids", nargs=-1, metavar="ID...")
    @click.option("--all", "every", is_flag=True, help="All messages.")
    @click.option(
        "--address", default="", metavar="A", help="Those of a sender, recipient, @domain."
    )
    @click.option("--yes", is_flag=True, help="Do not ask first.")
    @click.pass_obj
    def change(chosen: Chosen, ids: tuple[str, ...], every: bool, address: str, yes: bool) -> None:
        if bool(ids) + every + bool(address) != 1:
            raise click.UsageError("give message IDs, or --all, or --address A")
        if verb == "delete" and not yes:
            what = "all messages" if every else safe(address) or ", ".join(map(safe, ids))
            click.confirm(f"Delete {what} for good, without a report to anybody?", abort=True)
        with session(chosen.composition(), chosen.reactor) as host:
            if ids:
                _change_these(host, verb, past, ids)
            else:
                _change_all(host, verb, past, address)


def _change_these(host: Answering, verb: str, past: str, ids: tuple[str, ...]) -> None:
    """Change the messages with these ids. Raises Wrong if some of them do not exist."""
    rows: list[Row] = []
    for at in range(0, len(ids), PAGE):
        rows += host.ask("change", ids=ids[at : at + PAGE], verb=verb)
    say(f"{len(rows)} {past}")
    _print_obstacles(_obstacles(rows))
    changed = {row["id"] for row in rows}
    missed = [id for id in ids if id not in changed]
    if missed:
        raise no_such(f"not {past}: {', '.join(missed)} (not there, or being delivered)")


def _change_all(host: Answering, verb: str, past: str, address: str) -> None:
    """Change every message (or every one of an address), a page at a time."""
    count = left = 0
    obstacles: Counter[str] = Counter()
    for page in pages(host, address=address):
        ids = [row["id"] for row in page]
        rows = list(host.ask("change", ids=ids, verb=verb))
        count, left = count + len(rows), left + len(ids) - len(rows)
        obstacles += _obstacles(rows)
    say(f"{count} {past}", *([f"({left} left as they are)"] if left else []))
    _print_obstacles(obstacles)


def _obstacles(rows: Iterable[Row]) -> Counter[str]:
    """What keeps changed messages from being tried now, and how many."""
    found: Counter[str] = Counter()
    for row in rows:
        if row.get("host") is False:
            found["as soon as the host runs"] += 1
        elif row.get("hold"):
            found["on hold, until they are released"] += 1
        elif "after" in row:
            found[f"one first, then the others if it works: {row['after']}"] += 1
    return found


def _print_obstacles(obstacles: Counter[str]) -> None:
    for what, count in obstacles.most_common():
        say(f"  {count} of them {what}")


_changing("retry", "Try messages again now, whatever their schedule says.", "to be tried now")
_changing("hold", "Keep messages from being tried until they are released.", "on hold")
_changing("release", "Let held messages go on.", "released")
_changing("delete", "Delete messages for good; their senders are not told.", "deleted")
