"""aiosmtpd as a durable server: each message is written to a Maildir and synced before the 250.

It is run by the Python in which aiosmtpd is installed: PORT TASK FOLDER [CHAIN KEY]. Only "maildir"
keeps the file. With a certificate it offers STARTTLS.
"""

import asyncio
import itertools
import os
import ssl
import sys

from aiosmtpd.smtp import SMTP

PORT, TASK, FOLDER, *CERTIFICATE = int(sys.argv[1]), *sys.argv[2:]
NAME, MESSAGE_SIZE = "mx.bench.example", 64 << 20
numbers = itertools.count()


def store(octets: bytes) -> None:
    name = f"{next(numbers)}.{os.getpid()}"
    with open(f"{FOLDER}/tmp/{name}", "xb") as file:
        file.write(octets)
        file.flush()
        os.fsync(file.fileno())
    os.rename(f"{FOLDER}/tmp/{name}", f"{FOLDER}/new/{name}")
    folder = os.open(f"{FOLDER}/new", os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)
    if TASK != "maildir":
        os.unlink(f"{FOLDER}/new/{name}")


class Handler:
    async def handle_DATA(self, server, session, envelope):  # type: ignore[no-untyped-def]
        await asyncio.get_running_loop().run_in_executor(None, store, envelope.content)
        return "250 OK"


async def main() -> None:
    for name in ("tmp", "new", "cur"):
        os.makedirs(f"{FOLDER}/{name}")
    context = None
    if CERTIFICATE:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*CERTIFICATE)

    def session() -> SMTP:
        return SMTP(Handler(), data_size_limit=MESSAGE_SIZE, hostname=NAME, tls_context=context)

    server = await asyncio.get_running_loop().create_server(session, "127.0.0.1", PORT, backlog=500)
    await server.serve_forever()


asyncio.run(main())
