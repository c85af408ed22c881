"""The stores that are put on a failing disk."""

from __future__ import annotations

import time

from twisted.internet.threads import deferToThread

from mailframe.testing.values import site
from mailframe_plugins import queue_memory, queue_sqlite


def sqlite(folder, reactor):
    where = site(folder, reactor=reactor, now=time.time, in_thread=deferToThread)
    return queue_sqlite.plugin.build(queue_sqlite.Settings(), where)


def forgetful(folder, reactor):
    """One that promises what it does not keep."""
    where = site(folder, reactor=reactor, now=time.time, in_thread=deferToThread)
    return queue_memory.plugin.build(queue_memory.plugin.settings(), where)
