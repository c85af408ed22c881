"""FLOOR 3: domains, mailboxes and addresses, each in one spelling so that they can be compared.

`domains` and `domain_set` are for domain names, `local_parts` for users and mailboxes, `ip` for
addresses and networks, `records` for the records of a name in DNS.
"""
