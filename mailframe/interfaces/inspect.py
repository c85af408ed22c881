"""What can be looked at while the host runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from zope.interface import Interface


class IInspected(Interface):
    """A part of the host, or a plugin, whose state an operator may want to see."""

    def state() -> Iterable[Mapping[str, object]]:
        """Rows of what can be written as JSON: names, numbers, texts. No secrets.

        The most interesting ones first: of many, only the first few hundred are shown. Called
        in the reactor; must return at once.
        """
