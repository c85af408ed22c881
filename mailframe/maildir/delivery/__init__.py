"""Delivery into Maildirs, many messages together.

`copies` writes them durably. `deliverer` finds the folder of each by the rules of one
`[deliver.NAME]`. `rounds` gathers the messages that come while others are being delivered.
`process` gives a round to a separate process (`child`); the two talk in `frames`.
"""
