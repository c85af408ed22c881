"""FLOOR 1: the language of mail. SMTP and LMTP as values and two dialogues.

Standard library only: no Twisted, no clock, no I/O. Bytes go in, events come out;
replies and commands go in, bytes come out.
"""
