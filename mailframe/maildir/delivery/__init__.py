"""Delivery into Maildirs, many messages in one go.

`copies` writes them durably, and `deliverer` finds the folder of each by the rules of one
`[deliver.NAME]`. `rounds` gathers what comes in the meantime, and `process` has a round done by
a process of its own (`child`), to which it speaks in `frames`.
"""
