"""FLOOR 1: header fields, MIME's parts and encodings. All header fields are read here.

A protocol room: octets in, values out. It uses neither Twisted nor I/O nor the clock, and does not
depend on the standard library's email package, whose results change from release to release.

`header` reads a header section that is in memory, `scan` one that streams by. `separator` ends one
that its author did not end. `write` writes fields. `trace_fields`, `final_fields` and `date` are
the fields that a mail host adds. `parameters` reads Content-Type and similar fields, `addresses`
reads From and similar fields. `parts` cuts messages into their parts, and `encoding` writes bodies
as 7-bit lines. `seven_bit` re-encodes what a server cannot take of a message, with `ascii_fields`
and `encoded_words` for its header fields and `entity_checks` for what may be changed. `lines` finds
lines that are too long, in any amount of text.
"""
