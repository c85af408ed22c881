"""FLOOR 10: the waiting room: which message is tried when, and what its sender is told.

`submission` is the door in. `scheduler` puts together what finds and keeps the work: `window`, the
messages that are worked on, `claiming`, which fills it, `renewal` of their leases, `clock` for a
clock that goes back. `attempt` tries one message once; `progress` is what it knows by then,
`recording` how that is made durable, `waits` what it waits for. `addressing` asks for everybody's
way, each address once; `parcels` says which recipients
travel together; `destinations` how many deliveries one place gets, and when it is left alone, by
what `health` makes of an outcome; `shares` how much of the window one agent may hold;
`retry` (pure) when to try again; `reports` who is told, `bounce` (pure) in which words.
"""
