"""Several processes that serve as one host.

`supervisor` holds the ports and a `slot` for each worker; `process` is a worker as it sees it,
`main` the worker itself; `launch` is what the one tells the other at its start, `adopted` the
sockets that the supervisor bound.
"""
