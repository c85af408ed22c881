"""The base of all contract tests."""

from __future__ import annotations

from typing import Any

from zope.interface.interface import InterfaceClass
from zope.interface.verify import verifyObject

from .hooks import result_of


class Contract:
    """The base of all contract tests."""

    interface: InterfaceClass

    def make(self) -> Any:
        """A new plugin object. Every test case implements this."""
        raise NotImplementedError(f"{type(self).__name__} must say how its plugin is made")

    def wait(self, eventual: Any) -> Any:
        """The value of the plugin's answer, which must be at hand."""
        return result_of(eventual)

    def test_it_provides_the_interface(self) -> None:
        """The plugin has all methods of its stage's interface, with the arguments they are given.

        As for the host, a class beside the configuration need not declare the interface.
        """
        verifyObject(self.interface, self.make(), tentative=True)
