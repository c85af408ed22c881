"""FLOOR 10: receives mail: one listener and everything behind it, until a message is durable.

`listener` is one `[[listen]]` of SMTP or LMTP, `entrance` what its connections ask of it (who may
connect, and the end, are of `wire.listener`). `connection` is the border with Twisted: octets
in, replies out; its `phase` is a table, `flow` pauses, `patience` knows the time. `session`
answers each command (`tally` counts them), `introduction` is how a client becomes known (`login`
speaks AUTH), `transaction` holds what stands between MAIL and the 250, `header` reads and writes
header fields. `shared` is what all sessions of a listener have in common.
"""
