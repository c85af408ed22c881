"""The parts of `queue_sqlite`; not a plugin itself.

`schema` has the tables, `ledger` every SQL statement that changes them, `statements` those for many
rows at a time. `leases` knows which messages are worked on, and `claims` finds those that are due.
`writer` is the one thread that writes; `queries` and `rows` are for reading. `folder` is the
database's folder, `salvage` saves what can be read of a damaged database, and `errors` translates
SQLite's errors into OSError.
"""
