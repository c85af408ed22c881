"""FLOOR 8: the composed server: every hook asked, combined, timed, and kept from doing harm.

`composed` is all hooks as one value; `login` is logging in, for every protocol; `question` asks
one plugin, `answers` judges what it says, `breaker` leaves alone what keeps failing; `routing`
asks where a recipient's mail goes, `expansion` follows redirects, `acceptance` asks no further than
RCPT needs; `observers` are told what was
decided.
"""

from .composed import Hooks
from .filtering import PASSED, Filtered
from .login import Channel, Login, Logins, LoginStep
from .question import Bound, Fault, Question, new_reference
from .routing import Routing

__all__ = [
    "PASSED",
    "Bound",
    "Channel",
    "Fault",
    "Filtered",
    "Hooks",
    "Login",
    "LoginStep",
    "Logins",
    "Question",
    "Routing",
    "new_reference",
]
