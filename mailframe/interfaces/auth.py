"""`[[auth]]`: who may log in."""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface import Interface


class IUserStore(Interface):
    """An auth plugin whose users `mailframe user` can list and change. These methods block."""

    def names() -> Sequence[str]:
        """All users, sorted."""

    def set_password(name: str, password: str, create: bool) -> None:
        """Durably. KeyError for a user that is there (`create`) or is not (otherwise);
        ValueError for a name or password that cannot be."""

    def remove(name: str) -> None:
        """Durably. KeyError where there is none."""

    def test(name: str, password: str) -> bool:
        """Whether this password lets this user in."""
