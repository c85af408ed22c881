"""FLOOR 5: the way in, from the first octet of a client to the durable message.

`protocol` is one listener: who may connect (`census`), and the end. `connection` is the border
with Twisted: octets in, replies out, pauses and time limits. `session` answers each command
(`tally` counts them; `login` speaks AUTH), `transaction` holds what stands
between MAIL and the 250, `header` and `trace` read and write header fields.
"""
