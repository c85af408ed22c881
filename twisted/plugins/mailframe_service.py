"""`twistd mailframe`: where twistd finds the service."""

from twisted.application.service import ServiceMaker

mailframe = ServiceMaker(
    "mailframe", "mailframe.tap", "A mail host composed of plugins", "mailframe"
)
