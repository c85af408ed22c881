"""FLOOR 7: what every socket and pipe needs, whatever protocol it speaks.

`transport`, `tls_socket` and `prompt` move octets; `certificates` and `client_tls` are TLS both
ways, `handshake` what it leaves behind; `census` counts who is here; `routable` says whom a
stranger's DNS may make us dial; `proxy` reads what a load balancer says of the client; `child` is
a process of our own, and `frames` cuts what comes over its pipes.
"""
