"""Says to the supervisor in its zygote's place what SAYS names: while it is imported, or late, when a worker is forked."""

import os
import socket
import struct

CONTROL_FD = 3
FLOOD = 1000

# As on the wire: a kind, then numbers and texts with four bytes of length before them.
MESSAGES = {
    "ready": b"\x01" + bytes(4) + struct.pack("<Q", 0) + 3 * bytes(4),
    "failed": b"\x02" + 3 * bytes(4),
    "forkfailed": b"\x03" + struct.pack("<I", 99) + bytes(4),
}


def say():
    kind, way = os.environ["SAYS"].split("/")
    message = MESSAGES[kind] + (b"more" if way == "malformed" else b"")
    supervisor = socket.socket(fileno=os.dup(CONTROL_FD))
    supervisor.setblocking(True)
    for _ in range({"repeated": 2, "flooding": FLOOD}.get(way, 1)):
        supervisor.send(message)
    supervisor.close()


if os.environ["SAYS"].endswith("/late"):
    os.register_at_fork(before=say)
else:
    say()


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]
