"""FLOOR 8: the composed server, which asks every hook, combines the answers and contains faults.

`composed` is all hooks as one value, and `login` is logging in, for every protocol. `question` asks
one plugin, `answers` checks what it says, and `breaker` stops asking a plugin that keeps failing.
`routing` asks where a recipient's mail goes, `expansion` follows redirects, and `acceptance` asks
only as much as RCPT needs. `observers` are told what was decided.
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
