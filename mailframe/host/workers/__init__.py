"""Several processes that serve as one host.

`supervisor` holds the ports and a `slot` for each worker. `process` is a worker as the supervisor
sees it, and `main` the worker itself. `launch` is what the supervisor tells a worker at its start.
`adopted` makes a port of a socket that the supervisor has bound.
"""
