"""`mailframe trace ID|SESSION|ADDRESS`: shows the decisions about a message, or several."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from .commands import Chosen
from .failures import no_such
from .session import session
from .text import clock, facts, say, say_json, took

if TYPE_CHECKING:
    from ..host.control import Row


@click.command("trace")
@click.argument("of", metavar="ID|SESSION|ADDRESS")
@click.option("--limit", type=click.IntRange(1, 5000), default=1000, help="At most so many events.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def command(chosen: Chosen, of: str, limit: int, as_json: bool) -> None:
    """Show every decision about a message: which plugin made it, and why.

    Give the message's ID, a SESSION's, or the ADDRESS of a sender or recipient.
    """
    with session(chosen.composition(), chosen.reactor) as host:
        events = host.ask("trace", of=of, limit=limit)
        found = _print_json(events) if as_json else _print(events)
    if not found:
        raise no_such(f"nothing is remembered about {of}")


def _print_json(events: Iterable[Row]) -> bool:
    found = False
    for event in events:
        found = True
        say_json(event)
    return found


def _print(events: Iterable[Row]) -> bool:
    """Print events in order, those of one message under its id."""
    of: Any = None
    for event in events:
        about = event["id"] or event["session"]
        if about != of:
            say(about)
            of = about
        stage = f"{event['stage']} {event['plugin']}".strip()
        length = event["milliseconds"]
        say(
            f"  {clock(event['time'])}  {stage:<24} {event['verdict']}",
            *([f"({took(length)})"] if length else []),
            *facts(event["facts"]),
        )
    return of is not None
