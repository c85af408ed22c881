"""This host's certificates, chosen by the name that a client asks for, and renewed while it runs.

TLS 1.2 and later (RFC 8996), no compression (CRIME), no renegotiation and no resumption. A key for
tickets that lives as long as a certificate could decrypt what was recorded in TLS 1.2 long before
(RFC 5077 section 5.5). Many ciphers are allowed, because opportunistic mail that finds no common
cipher would be sent without TLS (RFC 7435).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLContextFactory, IOpenSSLServerConnectionCreator
from twisted.logger import Logger
from zope.interface import implementer

from ..names.domains import to_ascii
from ..settings import TlsSettings
from .handshake import ask_for_certificate

RENEWED_BEFORE = 14 * 86400.0  # seconds before its end by which a certificate should be renewed
CHECK_EVERY = 1.0  # seconds between two looks at the files
CHAIN, KEY = "fullchain.pem", "privkey.pem"

_VERSIONS = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}
_OP_NO_RENEGOTIATION = 1 << 30  # OpenSSL's value; some versions of pyOpenSSL have no name for it
_CIPHERS = b"HIGH:!aNULL:!eNULL:!PSK:!SRP:!DSS:!MD5:!3DES"

_Stamp = tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True, slots=True)
class _Loaded:
    """The files as they were read once.

    Contexts by name ("mx.example", "*.example"), and the default one.
    """

    contexts: Mapping[str, SSL.Context]
    default: SSL.Context

    def choose(self, name: str) -> SSL.Context:
        """The context for this name, for a wildcard that matches it, or the default."""
        return _for_name(self.contexts, name) or self.default


class Certificates:
    """The certificates of `[tls]`, read at once and again when their files change.

    At first a missing file raises OSError. A key that does not belong to its certificate, a broken
    PEM and an unknown default name raise ValueError. Each names the file. Later, if new files
    cannot be used, the old certificates stay in use and the problem is logged once. `now` gives
    seconds.

    If there is no `default`, clients that ask for no name (RFC 6066 section 3) or an unknown one
    get the hostname's certificate, or else the first by name. `client_cas` are PEM files of
    authorities whose certificates some listener asks its clients for.
    """

    _log = Logger()

    def __init__(
        self,
        settings: TlsSettings,
        hostname: str,
        now: Callable[[], float] = time.monotonic,
        client_cas: Iterable[Path] = (),
    ) -> None:
        self._settings = settings
        self._hostname = hostname
        self._now = now
        self._client_cas: tuple[Path | None, ...] = (None, *dict.fromkeys(client_cas))
        self._looked = now()
        self._stamp: _Stamp | None = _stamp(self._files())
        self._loaded = self._load()

    @property
    def names(self) -> tuple[str, ...]:
        """The names that have a certificate, including wildcards."""
        return tuple(sorted(self._loaded[None].contexts))

    def traps(self, seconds: float) -> Iterator[str]:
        """What is wrong with certificates that can be served, at this time since the epoch.

        Reads them again; raises OSError and ValueError like the first time.
        """
        named: set[str] = set()
        for _, chain_path, _ in self._pairs():
            own = certificates_in(chain_path)[0]
            named.update(_names_in(own))
            left = own.not_valid_after_utc.timestamp() - seconds
            day = f"{own.not_valid_after_utc:%Y-%m-%d}"
            if left <= 0:
                yield f"{chain_path} expired on {day}"
            elif left < RENEWED_BEFORE:
                yield f"{chain_path} expires on {day} and was not renewed yet"
            elif own.not_valid_before_utc.timestamp() > seconds:
                yield f"{chain_path} is not valid before {own.not_valid_before_utc:%Y-%m-%d}"
        hostname = _plain(self._hostname)
        if not {hostname, f"*.{hostname.partition('.')[2]}"} & named:
            names = ", ".join(sorted(named)) or "nobody"
            yield f"no certificate names {self._hostname}, the hostname; they name {names}"

    def server_options(self, client_ca: Path | None = None) -> ServerOptions:
        """What `startTLS` takes; it always uses the present certificates.

        If `client_ca`, one of `client_cas`, is given, clients are asked for a certificate of it.
        KeyError for any other file.
        """
        if client_ca not in self._loaded:
            raise KeyError(client_ca)
        return ServerOptions(self, client_ca)

    def context(self, client_ca: Path | None = None) -> SSL.Context:
        """The context with which a new session starts; SNI may replace it. Looks at the files."""
        if not 0 <= self._now() - self._looked < CHECK_EVERY:
            self._looked = self._now()
            self._renew(force=False)
        return self._loaded[client_ca].default

    def reload(self) -> bool:
        """Read the files again now; False if they cannot be used and the old ones stay."""
        return self._renew(force=True)

    def _renew(self, force: bool) -> bool:
        stamp: _Stamp | None = None
        try:
            stamp = _stamp(self._files())
            if stamp == self._stamp and not force:
                return True
            self._loaded = self._load()
        except (OSError, ValueError) as wrong:
            if stamp is not None or self._stamp is not None or force:
                self._log.error(
                    "certificates: {problem}; the old ones stay in use", problem=str(wrong)
                )
            self._stamp = stamp
            return False
        self._stamp = stamp
        self._log.info("certificates read: {names}", names=", ".join(self.names))
        return True

    def _pairs(self) -> list[tuple[str, Path, Path]]:
        """Name, chain and key of each certificate; a single file has no name of its own."""
        place = self._settings.certificates
        if not place.is_dir():
            return [("", place, place)]
        folders = sorted(folder for folder in place.iterdir() if (folder / CHAIN).exists())
        if not folders:
            raise FileNotFoundError(f"{place}: no folder with {CHAIN} and {KEY} in it")
        return [(folder.name.lower(), folder / CHAIN, folder / KEY) for folder in folders]

    def _files(self) -> Iterable[Path]:
        for _, chain, key in self._pairs():
            yield chain
            yield key
        yield from filter(None, self._client_cas)

    def _load(self) -> Mapping[Path | None, _Loaded]:
        """Read the files once for each file of authorities, because each needs its own contexts."""
        return {client_ca: self._load_for(client_ca) for client_ca in self._client_cas}

    def _load_for(self, client_ca: Path | None) -> _Loaded:
        authorities = certificates_in(client_ca) if client_ca is not None else []
        contexts: dict[str, SSL.Context] = {}
        all_contexts: list[SSL.Context] = []
        for name, chain_path, key_path in self._pairs():
            chain = certificates_in(chain_path)
            try:
                context = self._context_of(chain, _key_in(key_path), key_path)
                if authorities:
                    ask_for_certificate(context, authorities)
                context.set_tlsext_servername_callback(partial(self._named, client_ca))
            except SSL.Error as wrong:
                raise ValueError(f"{chain_path}: OpenSSL does not take it: {wrong}") from wrong
            all_contexts.append(context)
            # The name of the folder counts before names in another certificate's list.
            if name:
                contexts[name] = context
            for listed in _names_in(chain[0]):
                contexts.setdefault(listed, context)
        wanted = self._settings.default
        default = _for_name(contexts, _plain(wanted or self._hostname))
        if default is None and wanted is not None:
            raise ValueError(f"{self._settings.certificates}: no certificate for {wanted}")
        return _Loaded(contexts, default or all_contexts[0])

    def _context_of(self, chain: Sequence[Any], key: Any, place: Path) -> SSL.Context:
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_min_proto_version(_VERSIONS[self._settings.minimum])
        context.set_options(
            SSL.OP_NO_COMPRESSION
            | SSL.OP_NO_TICKET
            | SSL.OP_CIPHER_SERVER_PREFERENCE
            | _OP_NO_RENEGOTIATION
        )
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_mode(SSL.MODE_RELEASE_BUFFERS)  # idle sessions give 34 KB back
        context.set_cipher_list(_CIPHERS)
        context.set_session_id(b"mailframe")
        own, *others = chain
        context.use_certificate(own)
        for certificate in others:
            context.add_extra_chain_cert(certificate)
        try:
            context.use_privatekey(key)
            context.check_privatekey()
        except SSL.Error as wrong:
            raise ValueError(f"{place}: the key does not belong to the certificate") from wrong
        return context

    def _named(self, client_ca: Path | None, connection: SSL.Connection) -> None:
        name = connection.get_servername()
        if name:
            loaded = self._loaded[client_ca]
            connection.set_context(loaded.choose(_plain(name.decode("ascii", "replace"))))


@implementer(IOpenSSLServerConnectionCreator, IOpenSSLContextFactory)
class ServerOptions:
    """The server's side of a handshake, as Twisted asks for it."""

    def __init__(self, certificates: Certificates, client_ca: Path | None) -> None:
        self._certificates = certificates
        self._client_ca = client_ca

    def serverConnectionForTLS(self, tlsProtocol: object) -> SSL.Connection:
        """A connection over memory, with the present certificates."""
        return SSL.Connection(self._certificates.context(self._client_ca), None)

    def serverConnectionOver(self, socket: Any) -> SSL.Connection:
        """A connection over this socket, with the present certificates."""
        return SSL.Connection(self._certificates.context(self._client_ca), socket)

    def getContext(self) -> SSL.Context:
        """The present context."""
        return self._certificates.context(self._client_ca)


def certificates_in(path: Path) -> list[x509.Certificate]:
    """The certificates in a PEM file, at least one. OSError, or ValueError that names the file."""
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except ValueError as wrong:
        raise ValueError(f"{path}: no certificate in PEM") from wrong


def _key_in(path: Path) -> Any:
    try:
        return load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as wrong:
        raise ValueError(f"{path}: no private key in PEM without a passphrase") from wrong


def _names_in(certificate: x509.Certificate) -> Iterable[str]:
    """The DNS names of a certificate (RFC 6125 section 6.4)."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ()
    return [_plain(name) for name in names.value.get_values_for_type(x509.DNSName)]


def _plain(name: str) -> str:
    """The name as certificates spell it: lower case, A-labels.

    A text that is no name stays as it is.
    """
    try:
        return to_ascii(name)
    except ValueError:
        return name.lower()


def _for_name(contexts: Mapping[str, SSL.Context], name: str) -> SSL.Context | None:
    """The context of this name, or of a wildcard that matches it."""
    return contexts.get(name) or contexts.get(f"*.{name.partition('.')[2]}")


def _stamp(files: Iterable[Path]) -> _Stamp:
    """Values that change if a file is written again or a link points elsewhere."""
    stamp = []
    for path in files:
        stat = path.stat()
        stamp.append((str(path), stat.st_ino, stat.st_mtime_ns, stat.st_size))
    return tuple(stamp)
