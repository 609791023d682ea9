"""`environ["gunicorn.socket"]`: the connection of a client that asks for a WebSocket, for libraries that speak the protocol
themselves. What is written to it goes to the client, from the head of status 101 on."""

import socket


class ClientSocket(socket.socket):
    """A socket that knows whether it has been answered on: from then on an ordinary response comes too late."""

    switched = False

    def send(self, data, *flags):
        # All of it: libraries that are at home on threads take a blocking send for a complete one, which greenlets do not promise.
        self.switched = True
        sent = super().send(data, *flags)
        if self.gettimeout() != 0:
            rest = memoryview(data).cast("B")
            while sent < len(rest):
                sent += super().send(rest[sent:], *flags)
        return sent

    def __del__(self):
        # An application that ignores it need not be warned that it is not closed.
        self.close()


def noting(method):
    def call(self, *arguments, **named):
        self.switched = True
        return method(self, *arguments, **named)

    return call


# Whoever makes another object of it answers on that.
for name in ("sendall", "sendmsg", "sendto", "sendfile", "dup", "detach"):
    method = getattr(socket.socket, name, None)
    if method is not None:
        setattr(ClientSocket, name, noting(method))


def give(number):
    """Takes the descriptor over."""
    given = ClientSocket(socket.AF_UNIX, socket.SOCK_STREAM, 0, number)
    # Whatever the application has set as the default for its own connections.
    given.settimeout(None)
    return given
