"""FLOOR 7: for authors of queue stores: what a store needs whatever it keeps messages in.

`draft` is a message on its way in, in memory or in a file of `bodies`; `batches` gathers what is
to be written so that many commits share one sync; `search` is what messages are found by;
`shards` are the folders of stores of which each worker has a part. None of it knows SQL.
"""
