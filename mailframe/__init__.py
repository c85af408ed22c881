"""mailframe: a mail host that operators compose from plugins.

docs/architecture.md is the map of its modules. Other people's code imports `plugin`, `interfaces`,
`message`, `smtp`, `testing`, and `host.make_service`.
"""
