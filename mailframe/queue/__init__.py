"""FLOOR 10: the queue, which decides when a message is tried and what its sender is told.

All messages enter through `submission`. `scheduler` puts the other parts together: `window` (the
messages that are worked on), `claiming` (which fills the window), `renewal` (of their leases) and
`clock` (for a clock that goes back). `attempt` tries one message once. `progress` keeps its results
so far, `recording` makes them durable, and `waits` is what it waits for. `addressing` asks for the
route of each recipient, each address once, and `parcels` groups recipients for delivery.
`destinations` limits the deliveries to one place and pauses places that fail; `health` tells from
outcomes if they do. `shares` limits how much of the window one agent may hold. `retry` (pure)
decides when to try again. `reports` decides who is told, and `bounce` (pure) writes the report.
"""
