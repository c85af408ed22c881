"""Delivery into Maildirs, many messages in one go.

`copies` writes them durably, `deliverer` finds the folder of each by the rules of one
`[deliver.NAME]`; `rounds` gathers what comes meanwhile, and `process` has a round done by a
process of its own (`child`), with which it speaks in `frames`.
"""
