"""What `queue_sqlite` is made of; no plugin by itself.

`schema` the tables, `ledger` every SQL statement that changes them, `statements` many rows at a
time, `leases` who is worked on, `claims` finding the due, `writer` the one thread that writes,
`queries` and `rows` what is read, `folder` the database's place, `salvage` what is done with a
damaged one, `errors` SQLite's words as OSError.
"""
