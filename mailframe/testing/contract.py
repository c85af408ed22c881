"""What all contract tests share."""

from __future__ import annotations

from typing import Any

from zope.interface.interface import InterfaceClass
from zope.interface.verify import verifyObject

from .hooks import result_of


class Contract:
    """What all contracts share."""

    interface: InterfaceClass

    def make(self) -> Any:
        """The plugin, built anew. Every test case writes this."""
        raise NotImplementedError(f"{type(self).__name__} must say how its plugin is made")

    def wait(self, eventual: Any) -> Any:
        """What the plugin answered, which must be at hand."""
        return result_of(eventual)

    def test_it_provides_the_interface(self) -> None:
        """The plugin declares its stage's interface and has all that this asks for."""
        verifyObject(self.interface, self.make())
