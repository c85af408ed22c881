"""Reads a file of domains."""

from __future__ import annotations

from ..names.domain_set import DomainSet
from .watched import LineError, significant_lines


def parse_domains(text: str) -> DomainSet:
    """Parse a file with one domain in a line and # comments. Raises LineError."""
    lines = significant_lines(text)
    for number, line in lines:
        try:
            DomainSet([line])
        except ValueError as wrong:
            raise LineError(number, str(wrong)) from wrong
    return DomainSet(line for _, line in lines)
