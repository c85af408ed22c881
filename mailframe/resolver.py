"""FLOOR 4: DNS for all: MX, A and AAAA, TXT, TLSA, PTR."""

from __future__ import annotations


class Resolver:
    """Asks DNS. (The room's builder replaces this file.)"""
