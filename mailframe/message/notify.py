"""The NOTIFY parameter of recipients: which reports the sender wants (RFC 3461 section 4.1)."""

from __future__ import annotations

#: None means that no parameter was given: this asks for failures, and the host may report delays.
Notify = frozenset[str] | None

_DEFAULT = frozenset({"FAILURE", "DELAY"})
_NEVER = frozenset({"NEVER"})


def merged_notify(first: Notify, second: Notify) -> Notify:
    """The NOTIFY of two recipients that turn out to be one: everything that either asks for."""
    if first == second:
        return first
    asked = _asked(first) | _asked(second)
    if asked == _DEFAULT and None in (first, second):
        return None
    return asked or _NEVER


def _asked(notify: Notify) -> frozenset[str]:
    return _DEFAULT if notify is None else notify - _NEVER
