"""FLOOR 6: files that an operator edits while the host runs, and files that the host writes.

`watched` is a file that is read again when it changes. `aliases` and `domain_list` are such files.
`write_behind` writes what may be written a little later. `sync` makes names durable.
"""
