"""FLOOR 3: the names that mail goes by, each in one spelling so that they can be compared.

`domains` and `domain_set` are domain names, `local_parts` users and mailboxes, `ip` addresses
and networks, `records` what DNS says of a name.
"""
