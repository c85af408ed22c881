"""What `queue_sqlite` is made of; no plugin by itself.

`schema` the tables, `ledger` every SQL statement that changes
them, `leases` who is worked on, `claims` finding the due, `writer` the one thread that
writes and its group commit, `readings` the connections that only read, `draft` and `bodies`
the octets, `salvage` what is done with a damaged database, `errors` SQLite's words as OSError.
"""
