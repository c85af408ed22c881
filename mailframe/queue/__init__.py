"""FLOOR 5: the waiting room: which message is tried when, and what its sender is told.

`scheduler` keeps a bounded window of messages that are worked on; `attempt` tries one message
once; `parcels` says which recipients travel together; `destinations` how many deliveries one
place gets, and when it is left alone; `retry` (pure) when to try again; `reports` who is
told, `bounce` (pure) in which words; `clock` what to do when the clock goes back.
"""
