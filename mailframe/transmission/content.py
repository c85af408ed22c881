"""Sends a message's content, block by block, no faster than the server reads."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import Deferred

from ..message import Content
from ..smtp.transparency import Dotter
from .connection import ServerConnection

BLOCK = 65536  # octets

InThread = Callable[..., Deferred[Any]]


async def send_data(
    connection: ServerConnection, content: Content, in_thread: InThread, timeout: float
) -> None:
    """Send the content in the form of DATA, with the final dot.

    Raises BadLineEnds for content that SMTP cannot carry, OSError if the store cannot be read, and
    Ended if the server is gone. After any of them the dot must never be sent. After the first two
    the caller must drop the connection, or the server would take half a message for a whole one.
    """
    dotter = Dotter()
    octets = content.at_hand
    if octets is not None and len(octets) <= BLOCK:
        connection.write(dotter.feed(octets) + dotter.finish())
        return
    await _stream(connection, content, in_thread, timeout, dotter.feed)
    connection.write(dotter.finish())


async def send_chunk(
    connection: ServerConnection, content: Content, in_thread: InThread, timeout: float
) -> None:
    """Send the `content.size` octets unchanged, for BDAT. Raises the same as send_data."""
    octets = content.at_hand
    if octets is not None and len(octets) <= BLOCK:
        connection.write(octets)
        return
    await _stream(connection, content, in_thread, timeout, bytes)


async def _stream(
    connection: ServerConnection,
    content: Content,
    in_thread: InThread,
    timeout: float,
    spelled: Callable[[bytes], bytes],
) -> None:
    read, close = await _reader(content, in_thread)
    left = content.size
    connection.begin_content()
    try:
        while block := await read(BLOCK):
            left -= len(block)
            if left < 0:
                break
            connection.write(spelled(block))
            wait = connection.taken(timeout)
            if wait is not None:
                await wait
    finally:
        connection.end_content()
        await close()
    if left:
        # BDAT and SIZE have announced a number of octets: never send half a message.
        raise OSError("the stored message has not the size that it was accepted with")


async def _reader(
    content: Content, in_thread: InThread
) -> tuple[Callable[[int], Awaitable[bytes]], Callable[[], Awaitable[None]]]:
    """Functions to read and to close the content; they use a thread unless it is in memory."""
    if content.at_hand is not None:
        file = content.open()

        async def read(size: int) -> bytes:
            return file.read(size)

        async def close() -> None:
            file.close()

        return read, close
    stored = await in_thread(content.open)
    return lambda size: in_thread(stored.read, size), lambda: in_thread(stored.close)
