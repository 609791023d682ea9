"""Where a rule's application is, and how its check speaks to it."""

import time

from client import PATIENCE, Connection
from websocket import WebSocket


class At:
    """A rule's application at one server."""

    def __init__(self, process, name):
        self.process = process
        self.port = process.port
        self.name = name

    def target(self, more=""):
        return f"/{self.name}{more}"

    def connect(self, tls=False):
        return Connection(self.process.tls_port if tls else self.port, tls)

    def get(self, more="", headers=(), tls=False, **options):
        return self.request("GET", more, headers, tls=tls, **options)

    def request(self, method, more="", headers=(), body=b"", tls=False, **options):
        connection = self.connect(tls)
        connection.request(method, self.target(more), headers, body, **options)
        response = connection.response(method)
        connection.close()
        return response

    def socket(self, more="", headers=(), tls=False):
        """A WebSocket whose handshake is asked for."""
        return WebSocket(self.process.tls_port if tls else self.port, self.target(more), headers, tls)

    def open(self, more="", headers=(), tls=False):
        """A WebSocket whose handshake is done."""
        return self.socket(more, headers, tls).shake()

    def notes(self, count=1, patience=PATIENCE / 2):
        """What the application noted, when there is so much of it."""
        end = time.monotonic() + patience
        while True:
            found = fetch(self.port, f"/notes/{self.name}")
            if len(found) >= count:
                return found
            assert time.monotonic() < end, f"only {found!r} was noted"
            time.sleep(0.01)

    def go(self):
        """Opens the gate of the application."""
        fetch(self.port, f"/go/{self.name}")


def fetch(port, target):
    connection = Connection(port)
    connection.request("GET", target)
    value = connection.response().value()
    connection.close()
    return value
