"""The GS2 header, with which SCRAM and OAUTHBEARER begin (RFC 5801 section 4)."""

from __future__ import annotations

from .text import text_of

NAME = rb"(?:[^\x00,=]|=2C|=3D){1,1024}"
HEADER = (
    rb"(?P<flag>[ny]|p=(?P<binding_type>[A-Za-z0-9.-]{1,64})),(?:a=(?P<authzid>" + NAME + rb"))?,"
)


def read_name(octets: bytes) -> str | None:
    """A saslname without its escapes; None if it is not a text of 1 to 255 octets."""
    return text_of(octets.replace(b"=2C", b",").replace(b"=3D", b"="))


def write_name(name: str) -> bytes:
    """A saslname, with "=" and "," escaped."""
    return name.replace("=", "=3D").replace(",", "=2C").encode("utf-8")


def write_header(flag: bytes, authzid: str) -> bytes:
    """The header, including its last comma."""
    return flag + (b",a=" + write_name(authzid) if authzid else b",") + b","
