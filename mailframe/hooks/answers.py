"""Which answers each hook may give. Anything else is the plugin's fault."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from ..message import (
    AuthResult,
    Content,
    Departure,
    Finding,
    Outcome,
    Recipient,
    Redirect,
    Route,
    Status,
    TlsDemand,
    Without,
)
from ..sasl import Identity, KeysFound, StoredKeys, TokenRefused
from ..smtp.address import Mailbox
from ..smtp.reply import LOCAL_ERROR, Reply

# RFC 5322 section 2.2: a printable name, a colon, printable text. A line break is allowed only
# before white space (folding, section 2.2.3). Anything else could forge a header.
_HEADER = re.compile(
    r"[!-9;-~]{1,76}:(?:[^\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]|\r?\n[ \t]+(?=[^ \t\r\n]))*"
)
_NAME = re.compile(r"[!-9;-~]{1,76}")
_DEMANDED = ("opportunistic", "require", "verify")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")


def is_judgement(answer: Any) -> bool:
    """relay: a Reply that permits relaying (250 to 259) or refuses it."""
    return isinstance(answer, Reply) and (answer.code >= 400 or 250 <= answer.code < 260)


def is_finding(answer: Any) -> bool:
    """filter: any Reply, or a Finding whose parts are all valid."""
    if isinstance(answer, Reply):
        return True
    if not isinstance(answer, Finding) or not _is_texts(answer.signals):
        return False
    if not _are(answer.headers, is_header):
        return False
    return answer == _plain(answer) or _is_demanding(answer)


def _plain(finding: Finding) -> Finding:
    return Finding(finding.signals, finding.headers)


def _is_demanding(finding: Finding) -> bool:
    """True if the parts that most findings do not have are valid."""
    parts = (
        (finding.results, _is_result),
        (finding.without, _is_without),
        (finding.redirect, lambda each: isinstance(each, Mailbox)),
    )
    return (
        all(_are(all_of, is_) for all_of, is_ in parts)
        and all(_is_printable(text) for text in (finding.hold, finding.quarantine))
        and isinstance(finding.discard, bool)
    )


def _are(values: Any, fit: Callable[[Any], bool]) -> bool:
    return isinstance(values, tuple | list) and all(map(fit, values))


def _is_texts(mapping: Any) -> bool:
    return isinstance(mapping, Mapping) and all(
        isinstance(text, str) for pair in mapping.items() for text in pair
    )


def _is_printable(text: Any) -> bool:
    return isinstance(text, str) and _UNPRINTABLE.search(text) is None


def _is_result(result: Any) -> bool:
    return (
        isinstance(result, AuthResult)
        and all(map(_is_printable, (result.method, result.result, result.reason)))
        and bool(result.method and result.result)
        and _is_texts(result.properties)
        and all(map(_is_printable, (*result.properties, *result.properties.values())))
    )


def _is_without(without: Any) -> bool:
    return (
        isinstance(without, Without)
        and isinstance(without.name, str)
        and _NAME.fullmatch(without.name) is not None
        and all(isinstance(number, int) for number in without.instances)
    )


def is_header(header: Any) -> bool:
    """True for one header field without its last line end, with at most 998 characters a line."""
    return (
        isinstance(header, str)
        and _HEADER.fullmatch(header) is not None
        and all(len(line) <= 998 for line in header.split("\n"))
    )


def folded(header: str) -> str:
    """The header with every fold written as CRLF."""
    return header.replace("\r\n", "\n").replace("\n", "\r\n") if "\n" in header else header


def is_way(answer: Any) -> bool:
    """route: a Route, a Redirect to at least one address, or a refusal."""
    if isinstance(answer, Redirect):
        addresses = answer.addresses
        return len(addresses) > 0 and all(isinstance(each, Mailbox) for each in addresses)
    return isinstance(answer, Route) or (isinstance(answer, Reply) and not answer.positive)


def is_departure(answer: Any) -> bool:
    """departure: a refusal, or a Departure whose parts are all valid."""
    if isinstance(answer, Reply):
        return not answer.positive
    return (
        isinstance(answer, Departure)
        and _are(answer.headers, is_header)
        and _are(answer.without, _is_without)
        and (answer.content is None or isinstance(answer.content, Content))
        and isinstance(answer.senders, Mapping)
        and all(
            isinstance(recipient, Recipient) and isinstance(sender, Mailbox)
            for recipient, sender in answer.senders.items()
        )
    )


def is_demand(answer: Any) -> bool:
    """tls_policy: a refusal, or a TlsDemand whose judge of certificates, if any, is hashable."""
    if isinstance(answer, Reply):
        return not answer.positive
    if not isinstance(answer, TlsDemand) or answer.use not in _DEMANDED:
        return False
    judge = answer.certificates
    return _is_printable(answer.policy) and (
        judge is None or (callable(getattr(judge, "judge", None)) and _is_hashable(judge))
    )


def _is_hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def is_refusal(answer: Any) -> bool:
    """deliver, at RCPT: a Reply that refuses."""
    return isinstance(answer, Reply) and answer.code >= 400


def is_delivery(answer: Any) -> bool:
    """deliver: an iterable, from which Outcomes can be taken."""
    return isinstance(answer, Iterable) and not isinstance(answer, str | bytes)


def is_outcome(outcome: Any) -> bool:
    """One Outcome of an agent, whose reply must not contradict its status."""
    if not isinstance(outcome, Outcome) or not isinstance(outcome.reply, Reply):
        return False
    if outcome.status in (Status.DEFERRED, Status.FAILED):
        return not outcome.reply.positive
    return outcome.status is not Status.EXPANDED and outcome.reply.positive


def sound_outcomes(
    asked: frozenset[Recipient], given: Iterable[Any]
) -> tuple[dict[Recipient, Outcome], list[str]]:
    """The valid outcomes by recipient, and what is wrong with the others."""
    sound: dict[Recipient, Outcome] = {}
    wrong: list[str] = []
    for outcome in given:
        if not is_outcome(outcome):
            wrong.append("what is no sound Outcome")
        elif outcome.recipient not in asked:
            wrong.append("an Outcome for a recipient that was not asked for")
        elif sound.setdefault(outcome.recipient, outcome) != outcome:
            # It is better to deliver twice than not at all.
            deferred = replace(outcome, status=Status.DEFERRED, reply=LOCAL_ERROR)
            sound[outcome.recipient] = deferred
            wrong.append("Outcomes for one recipient that disagree")
    if len(sound) < len(asked):
        wrong.append("no Outcome for some recipients")
    return sound, wrong


def is_avatar(answer: Any) -> bool:
    """auth: a user's name. `()`, twisted.cred's ANONYMOUS, means nobody and is not a fault."""
    return answer == () or bool(user_name(answer))


def user_name(answer: Any) -> str:
    """The name as text; "" if it is not a name, or could forge a header or a log line."""
    if isinstance(answer, bytes):
        try:
            answer = answer.decode("utf-8")
        except UnicodeDecodeError:
            return ""
    if not isinstance(answer, str) or _UNPRINTABLE.search(answer):
        return ""
    return answer


def is_identity(answer: Any) -> bool:
    """auth: an Identity whose `user`, and `acts_as` if set, can be written to headers and logs."""
    return (
        isinstance(answer, Identity)
        and bool(user_name(answer.user))
        and (answer.acts_as == "" or bool(user_name(answer.acts_as)))
    )


def is_keys_found(answer: Any) -> bool:
    """auth: a user's identity and stored keys."""
    return (
        isinstance(answer, KeysFound)
        and is_identity(answer.identity)
        and isinstance(answer.keys, StoredKeys)
    )


def is_token_answer(answer: Any) -> bool:
    """auth: the identity that a token belongs to, or why the token is refused."""
    return is_identity(answer) or isinstance(answer, TokenRefused)


def is_flag(answer: Any) -> bool:
    """Yes or no."""
    return isinstance(answer, bool)
