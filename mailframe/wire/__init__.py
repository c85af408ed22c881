"""FLOOR 7: sockets and pipes: what every protocol needs of them.

`transport`, `tls_socket` and `prompt` move octets. `certificates` and `server_tls` are TLS as a
server, `client_tls` as a client, and `handshake` is what a handshake leaves behind. `listener`
accepts clients, `census` counts them, `peer` and `proxy` find out who a client is behind a load
balancer. `routable` says which addresses a stranger's DNS may make us dial. `http_client` asks web
servers. `child` is a process that this host starts, and `frames` splits what comes over its pipes.
"""
