"""Who wants to be told what: the NOTIFY parameter of recipients (RFC 3461 section 4.1)."""

from __future__ import annotations

#: None: no parameter was given, which asks for failures, and for delays if the host likes.
Notify = frozenset[str] | None

_DEFAULT = frozenset({"FAILURE", "DELAY"})
_NEVER = frozenset({"NEVER"})


def merged_notify(first: Notify, second: Notify) -> Notify:
    """What is asked for by both together, of two recipients that are one."""
    if first == second:
        return first
    asked = _asked(first) | _asked(second)
    if asked == _DEFAULT and None in (first, second):
        return None
    return asked or _NEVER


def _asked(notify: Notify) -> frozenset[str]:
    return _DEFAULT if notify is None else notify - _NEVER
