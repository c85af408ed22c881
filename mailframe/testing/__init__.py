"""FLOOR 11: the test kit for plugin authors; public.

`values` makes clients, envelopes, recipients and a Site with a Clock. `hooks` composes plugins in a
test. `plugins`, `logins`, `leaving`, `serving`, `queue_store`, `queue_drafts` and `resolver` have a
contract test for each interface, to be subclassed. `host` is a whole host inside a test, and `sink`
has plugins that keep all mail, to be looked at. `dns` is a real name server, and a Resolver that
needs no network. `certificates` is a certificate authority for tests.
"""
