"""FLOOR 13: `mailframe check | user | queue | trace`: what an operator says to a host."""

from .commands import main

__all__ = ["main"]
