"""FLOOR 7: for authors of queue stores: the parts that most stores need.

`draft` is a message that comes in, in memory or in a file of `bodies`. `batches` gathers what is to
be written, so that many commits share one sync. `search` prepares what messages are found by.
`shards` are the folders of a store of which each worker has a part. None of it uses SQL.
"""
