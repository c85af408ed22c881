"""FLOOR 1: POP3 as values, and the dialogue of its server.

Uses only the standard library: no Twisted, no clock, no I/O. Octets go in, events come out; replies
and messages go in, octets come out.

`command` has the commands and `grammar` reads them. `reply` has what a server says, `offer` what it
offers. `order` is the table of states, `refusals` says why a command cannot be accepted in one.
`server` is the dialogue, and `event` says what a session does with what it gives. `inbox` finds
lines, `stuffing` and `excerpt` write messages. `maildrop` is what a user sees of a mailbox.
"""
