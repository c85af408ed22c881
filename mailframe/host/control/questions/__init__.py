"""All questions that a host answers, by their names."""

from .gauges import GAUGES
from .queue import CHANGE, CONTENT, FIND, GET, SUMMARY
from .status import PING
from .trace import TRACE

QUESTIONS = {
    question.name: question
    for question in (PING, FIND, GET, CONTENT, CHANGE, SUMMARY, TRACE, GAUGES)
}

__all__ = ["QUESTIONS"]
