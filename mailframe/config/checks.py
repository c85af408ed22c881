"""Checks what must fit together in a configuration, beyond the types of its values.

Each check yields (place, message): the path of the key that is wrong, and what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from typing import Any

from twisted.internet.endpoints import serverFromString
from twisted.internet.task import Clock

from ..names.ip import NetworkSet
from ..resolver.servers import parse_server
from ..settings import HostSettings, Limits, Listener, LoginSettings, QueueTimes
from ..smtp.address import AddressError, parse_domain
from ..wire.endpoint import as_twisted_reads_it
from .composition import Section
from .ports import taken_twice
from .suggest import did_you_mean
from .toml_index import Path as Place
from .units import expected, shown

Complaint = tuple[Place, str]

_ENDPOINTS = ("tcp", "tcp6", "unix", "ssl", "tls", "systemd", "fd", "haproxy")
_PORT = re.compile(r"(?:tcp6?|ssl|tls):(?:port=)?(\d+)")
_FIELD_NAME = re.compile("[!-9;-~]+")
_AT_LEAST_ONE = ("active", "per_destination", "expansion")
#: Keys of a `[[listen]]` that only these protocols use; the host itself uses all other keys.
_HEEDED_BY: Mapping[str, tuple[str, ...]] = {
    "requires": ("smtp", "lmtp"),
    "submission": ("smtp", "lmtp"),
    "greet_delay": ("smtp", "lmtp"),
    "strict": ("smtp", "lmtp"),
    "bare_lf": ("smtp", "lmtp"),
    "drop_fields": ("smtp", "lmtp"),
    "xclient": ("smtp",),
}
_UNSET = Listener("", "")


def check(settings: HostSettings, sections: Iterable[Section]) -> Iterator[Complaint]:
    """Check the host's own tables."""
    try:
        if parse_domain(settings.hostname, strict=True).startswith("["):
            raise AddressError("an address literal is no name")
    except AddressError as wrong:
        yield ("hostname",), f"expected a domain name, got {shown(settings.hostname)}: {wrong}"
    for number, server in enumerate(settings.dns.servers):
        try:
            parse_server(server)
        except ValueError as wrong:
            yield ("dns", "servers", number), str(wrong)
    yield from _numbers(settings)
    yield from taken_twice(settings.listen)
    names: dict[str, int] = {}
    authenticating = [section.on for section in sections if section.stage == "auth"]
    for number, listener in enumerate(settings.listen):
        place = ("listen", number)
        first = names.setdefault(listener.name, number)
        if first != number:
            yield (*place, "name"), f"there is another listener {shown(listener.name)}"
        yield from _endpoint(place, listener)
        yield from _unheeded(place, listener)
        yield from _requirements(place, listener, settings, authenticating)


def _numbers(settings: HostSettings) -> Iterator[Complaint]:
    """Counts and times with which nothing would work."""
    yield from _limits(("limits",), settings.limits)
    for number, listener in enumerate(settings.listen):
        if listener.limits is not None:
            yield from _limits(("listen", number, "limits"), listener.limits)
    yield from _logins(settings.logins)
    for key in ("threads", "workers"):
        if getattr(settings, key) < 1:
            yield (key,), str(expected("1 or more", getattr(settings, key)))
    if settings.block_warning is not None and settings.block_warning < 0.01:
        yield ("block_warning",), str(expected("10ms or more, or false", settings.block_warning))
    times: QueueTimes = settings.retry
    for key in _AT_LEAST_ONE:
        if getattr(times, key) < 1:
            yield ("retry", key), str(expected("1 or more", getattr(times, key)))
    for key in ("lease", "attempt_timeout"):
        if getattr(times, key) <= 0:
            yield ("retry", key), str(expected("a duration above 0", getattr(times, key)))
    if not times.waits or min(times.waits) <= 0:
        yield ("retry", "waits"), "expected one or more durations above 0"
    if not 0 <= times.jitter < 1:
        yield ("retry", "jitter"), str(expected("0 or more and less than 1", times.jitter))


def _limits(place: Place, limits: Limits) -> Iterator[Complaint]:
    for each in fields(limits):
        if getattr(limits, each.name) <= 0:
            yield (*place, each.name), str(expected("more than 0", getattr(limits, each.name)))


def _logins(logins: LoginSettings) -> Iterator[Complaint]:
    for key in ("failures_per_client", "failures_per_user"):
        if getattr(logins, key) < 1:
            yield ("logins", key), str(expected("1 or more", getattr(logins, key)))
    if logins.period <= 0:
        yield ("logins", "period"), str(expected("a duration above 0", logins.period))
    try:
        NetworkSet(logins.exempt)
    except ValueError as wrong:
        yield ("logins", "exempt"), str(wrong)


def _endpoint(place: Place, listener: Listener) -> Iterator[Complaint]:
    """Check that Twisted can read the endpoint; nothing is bound."""
    endpoint = as_twisted_reads_it(listener.endpoint)
    kind = endpoint.partition(":")[0]
    port = _PORT.match(endpoint)
    try:
        # The parsers only keep the reactor for later use.
        serverFromString(Clock(), endpoint)  # type: ignore[no-untyped-call]
    # The parsers of endpoints, those of third parties too, may raise any exception.
    except Exception as wrong:  # noqa: BLE001
        near = "" if kind in _ENDPOINTS else did_you_mean(kind, _ENDPOINTS)
        said = str(wrong) or type(wrong).__name__
        message = f"expected a Twisted server endpoint, got {shown(listener.endpoint)}: {said}"
        yield (*place, "endpoint"), message + near
    else:
        if port and int(port[1]) > 65535:
            yield (*place, "endpoint"), f"there is no port {port[1]}"


def _unheeded(place: Place, listener: Listener) -> Iterator[Complaint]:
    """Keys that would do nothing. An operator who sets `requires` relies on it."""
    for key, protocols in _HEEDED_BY.items():
        if getattr(listener, key) != getattr(_UNSET, key) and listener.protocol not in protocols:
            whose = " and ".join(protocols)
            yield (*place, key), f"this key is for {whose}, not for {shown(listener.protocol)}"


def _requirements(
    place: Place,
    listener: Listener,
    settings: HostSettings,
    authenticating: list[frozenset[str] | None],
) -> Iterator[Complaint]:
    """Check that a client can do what the listener requires of it."""
    if settings.tls is None and listener.tls == "implicit":
        yield (*place, "tls"), 'tls = "implicit" needs certificates: [tls] is missing'
    for key in ("proxy", "xclient"):
        try:
            NetworkSet(getattr(listener, key))
        except ValueError as wrong:
            yield (*place, key), str(wrong)
    for name in listener.drop_fields:
        if not _FIELD_NAME.fullmatch(name):
            yield (*place, "drop_fields"), str(expected("names of header fields", name))
    if listener.client_ca is not None and (settings.tls is None or listener.tls == "none"):
        yield (*place, "client_ca"), "certificates are shown in TLS, which is not offered here"
    if "tls" in listener.requires:
        if settings.tls is None:
            yield (*place, "requires"), 'requires "tls", but [tls] with certificates is missing'
        elif listener.tls == "none":
            yield (*place, "requires"), 'requires "tls", but tls = "none" offers none'
    if "auth" in listener.requires:
        if not any(on is None or listener.name in on for on in authenticating):
            yield (*place, "requires"), 'requires "auth", but no [[auth]] asks anybody here'
        if not listener.auth_in_clear and (settings.tls is None or listener.tls == "none"):
            message = 'requires "auth", which is offered under TLS only unless auth_in_clear = true'
            yield (*place, "requires"), message


def listeners_of(section: Section, settings: HostSettings) -> Iterator[Complaint]:
    """Check that the listeners named by `on` exist."""
    known = [listener.name for listener in settings.listen]
    for name in sorted(section.on or ()):
        if name not in known:
            yield ("on",), f"there is no listener {shown(name)}{did_you_mean(name, known)}"


def agent_of(section: Section, converted: Any, agents: Iterable[str]) -> Iterator[Complaint]:
    """Check that there is a `[deliver.NAME]` for the agent that a route's `deliver` names."""
    written = converted if isinstance(converted, Mapping) else _vars_of(converted)
    agent = written.get("deliver") if section.stage == "route" else None
    known = list(agents)
    if isinstance(agent, str) and agent not in known:
        yield ("deliver",), f"there is no [deliver.{agent}]{did_you_mean(agent, known)}"


def _vars_of(settings: Any) -> dict[str, Any]:
    """The fields of a settings dataclass as a dict; dataclasses in it stay as they are."""
    return {each.name: getattr(settings, each.name) for each in fields(settings)}
