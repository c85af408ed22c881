"""FLOOR 12: the rooms put together as one Twisted service.

    # mailframe.tac, run by `twistd -ny mailframe.tac`
    from twisted.application.service import Application
    from mailframe.host import make_service

    application = Application("mailframe")
    make_service("mailframe.toml").setServiceParent(application)

`make_service` takes a Composition too, so that the settings and the sections can be values
of Python: `Composition(settings=HostSettings(...), sections=(Section(...), ...), file=None)`.
"""

from .service import Host, make_service

__all__ = ["Host", "make_service"]
