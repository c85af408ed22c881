"""State that an operator can look at while the host runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from zope.interface import Interface


class IInspected(Interface):
    """A part of the host, or a plugin, whose state an operator may want to see."""

    def state() -> Iterable[Mapping[str, object]]:
        """Rows of values that can be written as JSON: names, numbers, texts. No secrets.

        Put the most interesting rows first, because only the first few hundred are shown. Called in
        the reactor's thread; must return at once.
        """
