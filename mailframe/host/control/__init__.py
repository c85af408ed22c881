"""The questions that the command line, and other programs that watch a host, can ask it.

A `question` has a name, a function that answers it with rows, and a way to combine the answers of
several workers; `questions` has all of them. A `subject` is the host or worker that they are about.
`control` answers requests about it, and `socket` takes the requests over STATE/control.
`everywhere` asks all workers from within one.
"""

from .control import Control, control_of
from .everywhere import ask_everywhere
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
    "ask_everywhere",
    "control_of",
]
