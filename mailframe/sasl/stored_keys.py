"""What a server stores of a password for SCRAM-SHA-256 (RFC 5802 section 3, RFC 7677).

Somebody who reads it can guess passwords, and can pretend to be the server, but cannot log in.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import b64decode, b64encode
from binascii import Error
from dataclasses import dataclass, field

from .text import saslprep

HASH = "sha256"
KEY_OCTETS = 32
SALT_OCTETS = 16
MIN_ITERATIONS = 4096  # RFC 7677 section 3
MAX_ITERATIONS = 1_000_000  # more than half a second of a client's time at each login
# Five times the minimum. Each login costs the client this much, and that is often a phone with a
# slow language; here it takes about 12 ms.
DEFAULT_ITERATIONS = 20_000

_TEXT = re.compile(r"SCRAM-SHA-256\$([1-9][0-9]{0,6}):([^$:]+)\$([^$:]+):([^$:]+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class StoredKeys:
    """The salt, the number of iterations, and the two keys that are derived from a password.

    ValueError if a value is out of range: a salt must have 1 to 255 octets, iterations are 4096 to
    1,000,000, and keys have 32 octets.
    """

    salt: bytes
    iterations: int
    stored_key: bytes = field(repr=False)
    server_key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not 0 < len(self.salt) <= 255:
            raise ValueError("a salt has 1 to 255 octets")
        if not MIN_ITERATIONS <= self.iterations <= MAX_ITERATIONS:
            raise ValueError(f"{MIN_ITERATIONS} to {MAX_ITERATIONS} iterations are wanted")
        if len(self.stored_key) != KEY_OCTETS or len(self.server_key) != KEY_OCTETS:
            raise ValueError(f"keys have {KEY_OCTETS} octets")

    @classmethod
    def derive(cls, password: str, salt: bytes, iterations: int = DEFAULT_ITERATIONS) -> StoredKeys:
        """Derive the keys of a password. Takes time: about 0.6 µs for each iteration.

        The salt should be SALT_OCTETS random octets. Raises ValueError for a password that cannot
        be used with SCRAM (SASLprep, RFC 4013).
        """
        salted = salted_password(password, salt, iterations)
        stored_key = hashlib.new(HASH, client_key(salted)).digest()
        return cls(salt, iterations, stored_key, server_key(salted))

    @classmethod
    def parse(cls, text: str) -> StoredKeys:
        """Read what `text` wrote. Raises ValueError, whose message does not contain the keys."""
        found = _TEXT.fullmatch(text)
        if found is None:
            raise ValueError("SCRAM-SHA-256$ITERATIONS:SALT$STOREDKEY:SERVERKEY is wanted")
        try:
            salt, stored, server = (b64decode(part, validate=True) for part in found.groups()[1:])
        except (Error, ValueError):
            raise ValueError("the salt and the keys are base64") from None
        return cls(salt, int(found[1]), stored, server)

    @property
    def text(self) -> str:
        """`SCRAM-SHA-256$20000:SALT$STOREDKEY:SERVERKEY`, as in RFC 5803 and PostgreSQL.

        The last three are in base64. Keep it as secret as a password's hash.
        """
        octets = (self.salt, self.stored_key, self.server_key)
        salt, stored, server = (b64encode(each).decode("ascii") for each in octets)
        return f"SCRAM-SHA-256${self.iterations}:{salt}${stored}:{server}"

    def matches(self, password: str) -> bool:
        """True if this is the password, as PLAIN and LOGIN send it. Takes as long as `derive`."""
        try:
            said = self.derive(password, self.salt, self.iterations)
        except ValueError:
            return False
        return hmac.compare_digest(said.stored_key, self.stored_key)

    def proves(self, auth_message: bytes, proof: bytes) -> bool:
        """True if this ClientProof for this AuthMessage proves that the client has the password."""
        key = xor(proof, hmac.digest(self.stored_key, auth_message, HASH))
        return hmac.compare_digest(hashlib.new(HASH, key).digest(), self.stored_key)

    def signature(self, auth_message: bytes) -> bytes:
        """The ServerSignature, which proves to a client that the server has the keys."""
        return hmac.digest(self.server_key, auth_message, HASH)


def salted_password(password: str, salt: bytes, iterations: int) -> bytes:
    """SaltedPassword of RFC 5802 section 3. Raises ValueError as `StoredKeys.derive` does."""
    prepared = saslprep(password, stored=True)
    if not prepared:
        raise ValueError("the password is empty")
    return hashlib.pbkdf2_hmac(HASH, prepared.encode("utf-8"), salt, iterations)


def client_key(salted: bytes) -> bytes:
    """ClientKey of RFC 5802 section 3. Somebody who has it can log in."""
    return hmac.digest(salted, b"Client Key", HASH)


def server_key(salted: bytes) -> bytes:
    """ServerKey of RFC 5802 section 3."""
    return hmac.digest(salted, b"Server Key", HASH)


def xor(one: bytes, other: bytes) -> bytes:
    """Both combined octet by octet; they must have the same length."""
    return bytes(left ^ right for left, right in zip(one, other, strict=True))
