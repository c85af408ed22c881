"""The nearest right word for a wrong one."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """`; did you mean "maildir"?`, or the list of known words if none is similar, or ""."""
    words = sorted(set(known))
    near = get_close_matches(str(word).lower(), words, n=1, cutoff=0.6)
    if near:
        return f'; did you mean "{near[0]}"?'
    if not words or len(words) > 12:
        return ""
    return f"; there is {', '.join(words)}"
