"""Every folder `mailframe_plugins` on Python's path is searched for plugins; this is one of them.

Third parties ship `mailframe_plugins/acme_route_x.py` without an `__init__.py`.
"""

from twisted.plugin import pluginPackagePaths

__path__.extend(pluginPackagePaths(__name__))  # type: ignore[no-untyped-call]
__all__: list[str] = []
