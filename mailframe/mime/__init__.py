"""FLOOR 1: header fields, MIME's parts and encodings: the only reader of headers in the house.

A language: octets in, values out. It knows neither Twisted nor I/O nor the clock, and does not
hang on the standard library's email package, whose readings change from release to release.

`header` reads a header section at hand, `scan` one that streams by, `separator` ends one that
its author did not end, `write` writes fields; `trace_fields`, `final_fields` and `date` are the
fields that a mail host adds. `parameters` reads Content-Type and its kin, `addresses` reads From
and its kin, `parts` cuts messages into their parts, `encoding` writes bodies as 7-bit lines, and
`seven_bit` does that to what a server cannot take of a message, with `ascii_fields` and
`encoded_words` for its header fields and `entity_checks` for what may be changed. `lines` finds
those that are too long, in any amount of text.
"""
