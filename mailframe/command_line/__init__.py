"""FLOOR 13: `mailframe check | user | queue | trace`: the commands for operators."""

from .commands import main

__all__ = ["main"]
