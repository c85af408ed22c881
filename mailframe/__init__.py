"""mailframe: a mail host that operators compose out of plugins.

docs/architecture.md is the map of these rooms. What other people's code imports: `plugin`,
`interfaces`, `message`, `smtp`, `testing`, and `host.make_service`.
"""
