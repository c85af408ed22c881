"""FLOOR 10: receives mail: one listener and everything behind it, until a message is durable.

`listener` is one `[[listen]]` of SMTP or LMTP, and `entrance` is what its connections need of it
(`wire.listener` decides which clients may connect, and ends sessions). `connection` is the border
with Twisted: octets in, replies out. Its `phase` is a table, `flow` pauses the client, and
`patience` checks the time limits. `session` answers each command, and `tally` counts them.
`introduction` learns who the client is, and `login` does AUTH. `transaction` covers what happens
from MAIL to the 250, and `header` reads and writes header fields. `shared` is what all sessions of
a listener share.
"""
