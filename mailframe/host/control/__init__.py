"""What the command line, or anything else that looks after a host, can ask it.

A `question` has a name, an answer of rows, and a way in which the answers of several workers
become one; `questions` has all of them, and a `subject` is what they are about. `control` answers
requests about one host or one of its workers, `socket` lets them in over STATE/control.
"""

from .control import Control, control_of
from .question import Question, Row, Rows
from .questions import QUESTIONS
from .socket import ControlFactory, ControlProtocol
from .subject import Refused

__all__ = [
    "QUESTIONS",
    "Control",
    "ControlFactory",
    "ControlProtocol",
    "Question",
    "Refused",
    "Row",
    "Rows",
    "control_of",
]
