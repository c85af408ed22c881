"""Finds routes that do not do what their author thinks, by asking them.

Each `[[route]]` is asked by itself about addresses that nobody has, in each of our domains and in
one that does not exist. Routes that would need the network to answer are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from twisted.internet.defer import Deferred

from ..config import Composition, ConfigError, Section
from ..hooks import Bound, Hooks, Routing
from ..interfaces import IListedMailboxes
from ..message import Client, Envelope, Recipient
from ..smtp.address import Mailbox
from .postmaster import ours

MOST_DOMAINS = 100  # of our domains that are asked about
NOBODY = "no-such-mailbox.3f1c9a7e"  # a local part that is in no list
FOREIGN = "no-such-domain.invalid"  # RFC 6761 section 6.4


@dataclass(frozen=True, slots=True)
class Way:
    """The answers of one route about addresses that nobody has."""

    takes: frozenset[str]  # domains whose mail it sends somewhere
    redirects: frozenset[str]  # domains whose mail it sends to other addresses
    agents: frozenset[str]  # that would deliver it


def dead_routes(composition: Composition, hooks: Hooks) -> Iterator[ConfigError]:
    """A warning at its own line for each route, and each of our domains, that is a trap."""
    sections = [each for each in composition.sections if each.stage == "route"]
    places = list(islice(ours(hooks, composition.settings.listen), MOST_DOMAINS))
    domains = list(dict.fromkeys(domain for _, domain, _ in places))
    ways = [_way(hooks, bound, [*domains, FOREIGN]) for bound in hooks.routes]
    routes = list(zip(sections, ways, strict=True))
    for at, (section, way) in enumerate(routes):
        for agent in sorted(way.agents - hooks.agents.keys()):
            message = f"warning: it sends mail to [deliver.{agent}], which is not there"
            yield section.error("", message)
        for later, bound in zip(sections[at + 1 :], hooks.routes[at + 1 :], strict=True):
            yield from _hidden(section, way, later, bound, set(domains))
    relays = [each for each in composition.sections if each.stage == "relay"]
    for number, domain, listener in places:
        if _is_sent_away(_asked(replace(hooks, observers=()), domain, listener), domain):
            yield relays[number].error(
                "domains",
                f"warning: mail for {domain} that no route keeps here goes to the exchanges that "
                "DNS names: right only if this host is a backup of theirs",
            )


def _hidden(
    section: Section, way: Way, later: Section, bound: Bound, domains: set[str]
) -> Iterator[ConfigError]:
    """Warn of a route that hides a later one. For mailboxes that can be listed, see `shadowed`."""
    if section.on is not None and not (later.on and later.on <= section.on):
        return
    if way.takes >= domains | {FOREIGN}:
        yield later.error(
            "plugin",
            f"warning: it is never asked: [[route]] {section.plugin} before it (line "
            f"{section.where.line}) takes every address",
        )
    elif (
        later.plugin == "mailboxes"
        and not IListedMailboxes.providedBy(bound.plugin)
        and way.redirects & domains
    ):
        named = ", ".join(sorted(way.redirects & domains))
        yield section.error(
            "",
            f"warning: a catch-all takes every address in {named}: the mailboxes of the "
            f"[[route]] in line {later.where.line} are not reached",
        )


def _is_sent_away(routing: Routing | None, domain: str) -> bool:
    """True if mail for unknown addresses in our domain goes to the domain's own exchanges."""
    return routing is not None and any(
        route.next_hop is not None
        and route.next_hop.lookup == "mx"
        and route.recipient is not None
        and route.recipient.address.domain == domain
        for route in routing.routes
    )


def _way(hooks: Hooks, bound: Bound, domains: Sequence[str]) -> Way:
    alone = replace(hooks, routes=(replace(bound, on=None),), observers=())
    found = {domain: routing for domain in domains if (routing := _asked(alone, domain))}

    def those(is_so: Callable[[Routing], bool]) -> frozenset[str]:
        return frozenset(domain for domain, routing in found.items() if is_so(routing))

    return Way(
        takes=those(lambda routing: any(not _came(each.recipient) for each in routing.routes)),
        redirects=those(_is_redirected),
        agents=frozenset(each.agent for routing in found.values() for each in routing.routes),
    )


def _asked(hooks: Hooks, domain: str, listener: str = "") -> Routing | None:
    """What the routes answer at once about an unknown address in this domain."""
    recipient = Recipient(Mailbox(NOBODY, domain))
    envelope = Envelope("dead-routes", Client("127.0.0.1", listener=listener), None, (recipient,))
    routing = hooks.route(envelope, recipient)
    if isinstance(routing, Deferred):
        routing.addErrback(lambda _: None)
        routing.cancel()
        return None
    return routing


def _is_redirected(routing: Routing) -> bool:
    whom = [each.recipient for each in routing.routes]
    return any(_came(each) for each in [*whom, *(each for each, _ in routing.refusals)])


def _came(recipient: Recipient | None) -> bool:
    return recipient is not None and bool(recipient.came_from)
