"""FLOOR 1: SMTP and LMTP as values, and the dialogues of server and client.

Uses only the standard library: no Twisted, no clock, no I/O. Octets go in, events come out; replies
and commands go in, octets come out.
"""
