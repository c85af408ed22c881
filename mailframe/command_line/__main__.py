"""`python -m mailframe.command_line`."""

from .commands import main

main()
