"""The mechanisms in one table: what each needs, which can be offered, which one is chosen."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

from .client import ClientExchange, ClientScript, Credentials
from .exchange import Exchange, Script
from .external import fits_external, serve_external, speak_external
from .oauth import (
    OAUTHBEARER,
    XOAUTH2,
    fits_token,
    serve_oauthbearer,
    serve_xoauth2,
    speak_oauthbearer,
    speak_xoauth2,
)
from .plain import fits_login, fits_plain, serve_login, serve_plain, speak_login, speak_plain
from .scram_client import fits_scram, fits_scram_plus, speak_scram
from .scram_message import SCRAM, SCRAM_PLUS
from .scram_server import serve_scram
from .terms import ClientTerms, ServerTerms


class Ability(Enum):
    """What a mechanism may need of the server's plugins, or of its connection."""

    # Of what answers the questions:
    PASSWORDS = "judges passwords"
    KEYS = "has stored keys"
    TOKENS = "judges tokens"
    CERTIFICATES = "knows whose a certificate is"
    # Of the connection:
    PRIVACY = "secrets may be sent as they are: TLS, or the operator wants it so"
    CERTIFICATE = "the client has shown a certificate"
    BINDING = "there is a channel binding"


_Serve: TypeAlias = Callable[[bytes | None, str, ServerTerms], Script]
_Speak: TypeAlias = Callable[[str, Credentials, ClientTerms], ClientScript]
_Fits: TypeAlias = Callable[[Credentials, ClientTerms], bool]


@dataclass(frozen=True, slots=True)
class Mechanism:
    """One mechanism: its name in capitals, and what it needs.

    `asks` is the one ability that is needed to answer its questions; `connection` are the abilities
    that the connection must have.
    """

    name: str
    asks: Ability
    connection: frozenset[Ability]
    serve: _Serve = field(repr=False)
    speak: _Speak = field(repr=False)
    fits: _Fits = field(repr=False)

    @property
    def reveals_secret(self) -> bool:
        """True if somebody who reads the conversation could log in afterwards."""
        return Ability.PRIVACY in self.connection

    @property
    def needs_tls(self) -> bool:
        """True if it cannot be used without TLS, whatever the operator sets."""
        return not self.connection.isdisjoint({Ability.CERTIFICATE, Ability.BINDING})


_NOTHING: frozenset[Ability] = frozenset()
_PRIVACY = frozenset({Ability.PRIVACY})
_CERTIFICATE = frozenset({Ability.CERTIFICATE})
_BINDING = frozenset({Ability.BINDING})

# The strongest first: the order in which they are offered and chosen.
_ALL = (
    Mechanism(
        "EXTERNAL",
        Ability.CERTIFICATES,
        _CERTIFICATE,
        serve_external,
        speak_external,
        fits_external,
    ),
    Mechanism(SCRAM_PLUS, Ability.KEYS, _BINDING, serve_scram, speak_scram, fits_scram_plus),
    Mechanism(SCRAM, Ability.KEYS, _NOTHING, serve_scram, speak_scram, fits_scram),
    Mechanism(
        OAUTHBEARER, Ability.TOKENS, _PRIVACY, serve_oauthbearer, speak_oauthbearer, fits_token
    ),
    Mechanism(XOAUTH2, Ability.TOKENS, _PRIVACY, serve_xoauth2, speak_xoauth2, fits_token),
    Mechanism("PLAIN", Ability.PASSWORDS, _PRIVACY, serve_plain, speak_plain, fits_plain),
    Mechanism("LOGIN", Ability.PASSWORDS, _PRIVACY, serve_login, speak_login, fits_login),
)
MECHANISMS: Mapping[str, Mechanism] = {each.name: each for each in _ALL}


def offerable(abilities: Collection[Ability]) -> tuple[str, ...]:
    """The mechanisms that can be used with these abilities, the strongest first."""
    able = frozenset(abilities)
    return tuple(each.name for each in _ALL if each.asks in able and each.connection <= able)


def begin(name: str, terms: ServerTerms) -> Exchange | None:
    """A new exchange by the mechanism's name, in any case; None if it is not offered."""
    mechanism = MECHANISMS.get(name.upper())
    if mechanism is None or mechanism.name not in terms.offered:
        return None
    return Exchange(
        mechanism.name,
        lambda initial: mechanism.serve(initial, mechanism.name, terms),
    )


def choose(credentials: Credentials, terms: ClientTerms) -> str | None:
    """The strongest mechanism that the server offers and these credentials allow, or None."""
    for each in _ALL:
        if each.name not in terms.offered or (each.reveals_secret and not terms.private):
            continue
        if each.fits(credentials, terms):
            return each.name
    return None


def attempt(name: str, credentials: Credentials, terms: ClientTerms) -> ClientExchange:
    """A new exchange for a mechanism that `choose` returned.

    ValueError if the mechanism is unknown or cannot use the credentials.
    """
    mechanism = MECHANISMS.get(name.upper())
    if mechanism is None or not mechanism.fits(credentials, terms):
        raise ValueError(f"no exchange by {name} is possible with what is known")
    if mechanism.reveals_secret and not terms.private:
        raise ValueError(f"{name} would send a secret to whoever reads along")
    return ClientExchange(mechanism.name, mechanism.speak(mechanism.name, credentials, terms))
