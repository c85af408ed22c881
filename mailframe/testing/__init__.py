"""FLOOR 11: public: the test kit for plugin authors.

`values` makers of clients, envelopes, recipients and a Site with a Clock; `hooks` plugins
composed by hand; `plugins`, `leaving`, `serving`, `queue_store`, `queue_drafts` and `resolver`
one contract test for each interface, to be subclassed; `dns` a real name server and a Resolver
without a network; `certificates` an authority of one's own.
"""
