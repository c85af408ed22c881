"""FLOOR 12: puts all rooms together as one Twisted service.

    # mailframe.tac, run by `twistd -ny mailframe.tac`
    from twisted.application.service import Application
    from mailframe.host import make_service

    application = Application("mailframe")
    make_service("mailframe.toml").setServiceParent(application)

`make_service` also takes a Composition, whose settings and sections are Python values:
`Composition(settings=HostSettings(...), sections=(Section(...), ...), file=None)`.
"""

from .service import Host, make_service

__all__ = ["Host", "make_service"]
