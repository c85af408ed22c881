"""The demo's ports, and whether they are free. `make demo` asks before it installs anything.

    python3 examples/sandbox/ports.py    # exit status 69 and a list if some are in use

It imports nothing but the standard library, since nothing is installed yet.
"""

from __future__ import annotations

import socket
import sys

ADDRESS = "127.0.0.1"
PORTS = {"the host's MX": 2525, "submission": 2587, "the world's MX": 2526, "DNS": 2553}


def in_use() -> list[str]:
    """The ports that somebody else has, with what the demo wants them for."""
    kinds = (socket.SOCK_STREAM, socket.SOCK_DGRAM)
    return [
        f"{port} ({name})"
        for name, port in PORTS.items()
        if not all(_is_free(port, kind) for kind in kinds[: 2 if name == "DNS" else 1])
    ]


def _is_free(port: int, kind: int) -> bool:
    with socket.socket(socket.AF_INET, kind) as trial:
        if kind == socket.SOCK_STREAM:  # as servers do: connections that have ended do not count
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((ADDRESS, port))
        except OSError:
            return False
    return True


def main() -> int:
    """The exit status: 0 if all are free, or else 69, after saying which are not."""
    busy = in_use()
    if not busy:
        return 0
    print(f"These ports of {ADDRESS} are in use already: {', '.join(busy)}.")
    print("Is another demo running? `ss -lntup` shows which programs have them.")
    return 69


if __name__ == "__main__":
    sys.exit(main())
