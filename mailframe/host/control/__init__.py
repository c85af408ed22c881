"""What the command line, or anything else that looks after a host, can ask it.

A `question` has a name, a function that answers it with rows, and a way to combine the answers of
several workers; `questions` has all of them. `control` answers requests about one host or about one
of its workers, and `socket` takes the requests over STATE/control.
"""

from .control import Control, control_of
from .question import Question, Refused, Row, Rows
from .questions import QUESTIONS
from .socket import ControlFactory, ControlProtocol

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
