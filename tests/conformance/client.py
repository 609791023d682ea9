"""A client that hides nothing: bytes out, bytes in."""

import ast
import socket
import ssl
import struct
import threading

#: For what should happen soon, on a busy machine too.
PATIENCE = 10
#: How long is looked whether something happens that must not.
MOMENT = 0.15


class Lost(Exception):
    """The server cut the connection."""


class Response:
    """One answer."""

    def __init__(self, status, version, headers):
        self.status = status
        self.version = version
        self.headers = headers
        self.body = b""
        self.trailers = []
        #: Did it end as its framing says?
        self.complete = False

    def all(self, name):
        return [value for field, value in self.headers if field == name.encode()]

    def one(self, name):
        found = self.all(name)
        assert len(found) <= 1, f"{name} {len(found)} times"
        return found[0] if found else None

    def value(self):
        """The Python literal that an application told."""
        assert self.status == 200, f"status {self.status} {self.body[:200]!r}"
        return ast.literal_eval(self.body.decode())

    def __repr__(self):
        return f"<{self.status} {self.headers} {self.body[:80]!r} complete={self.complete}>"


class Connection:
    """One connection over TCP, perhaps with TLS."""

    def __init__(self, port, tls=False):
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            # Without the authorities of the system, which take longer to read than all else here.
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            if tls != True:  # noqa: E712  (a list of protocols)
                context.set_alpn_protocols(tls)
            self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        self.buffer = b""

    def send(self, data):
        self.socket.sendall(data)

    def request(self, method, target, headers=(), body=b"", version="1.1"):
        fields = [(b"host", b"localhost"), *headers]
        if any(name.lower() == b"host" for name, _ in headers):
            fields = list(headers)
        if body and not any(name.lower() in (b"transfer-encoding", b"content-length") for name, _ in headers):
            fields.append((b"content-length", str(len(body)).encode()))
        head = f"{method} {target} HTTP/{version}\r\n".encode()
        self.send(head + b"".join(name + b": " + value + b"\r\n" for name, value in fields) + b"\r\n" + body)

    def fill(self, patience=PATIENCE):
        """Reads once; False at the end."""
        self.socket.settimeout(patience)
        try:
            data = self.socket.recv(1 << 16)
        except (ConnectionResetError, ssl.SSLEOFError):
            data = b""
        self.buffer += data
        return bool(data)

    def silent(self, moment=MOMENT):
        """Does nothing come for a moment?"""
        if self.buffer:
            return False
        try:
            self.fill(moment)
        except (TimeoutError, socket.timeout):
            return True
        return False

    def closed(self):
        """Does the server close without another byte?"""
        return not self.buffer and not self.fill()

    def take(self, size):
        while len(self.buffer) < size:
            if not self.fill():
                raise Lost(f"after {self.buffer!r}")
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def line(self):
        while b"\r\n" not in self.buffer:
            if not self.fill():
                raise Lost(f"after {self.buffer!r}")
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        return line

    def fields(self):
        fields = []
        while line := self.line():
            name, _, value = line.partition(b":")
            fields.append((name.lower(), value.strip()))
        return fields

    def head(self):
        version, status, *_ = self.line().split(b" ", 2)
        return Response(int(status), version.decode(), self.fields())

    def chunk(self):
        """One chunk of a body; empty at its end, which must be read by `fields`."""
        size = int(self.line().split(b";")[0], 16)
        if not size:
            return b""
        data = self.take(size)
        assert self.take(2) == b"\r\n"
        return data

    def response(self, method="GET"):
        """The next answer that is no interim one."""
        response = self.head()
        while 100 <= response.status < 200 and response.status != 101:
            response = self.head()
        if method == "HEAD" or response.status in (101, 204, 304):
            response.complete = True
            return response
        try:
            if response.one("transfer-encoding"):
                while chunk := self.chunk():
                    response.body += chunk
                response.trailers = self.fields()
                response.complete = True
            elif (length := response.one("content-length")) is not None:
                while len(response.body) < int(length):
                    response.body += self.take(1)
                    size = int(length) - len(response.body)
                    response.body, self.buffer = response.body + self.buffer[:size], self.buffer[size:]
                response.complete = True
            else:
                while self.fill():
                    pass
                response.body, self.buffer = self.buffer, b""
                response.complete = True
        except Lost:
            pass
        return response

    def close(self):
        self.socket.close()

    def vanish(self):
        """Closes with a reset, as a client whose machine is gone."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def beside(work):
    """Runs in a thread; gives what to call for the result."""
    results = []

    def run():
        try:
            results.append((work(), None))
        except BaseException as error:
            results.append((None, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def result():
        thread.join(PATIENCE)
        assert results, "it takes too long"
        value, error = results[0]
        if error:
            raise error
        return value

    return result


def http2(port, target, headers=(), body=b""):
    """One request over HTTP/2, with the h2 package."""
    import h2.config
    import h2.connection
    import h2.events

    connection = Connection(port, ["h2"])
    if connection.socket.selected_alpn_protocol() != "h2":
        return None
    state = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding=None))
    state.initiate_connection()
    method = b"POST" if body else b"GET"
    pseudo = [
        (b":method", method),
        (b":scheme", b"https"),
        (b":authority", b"localhost"),
        (b":path", target.encode()),
    ]
    state.send_headers(1, pseudo + list(headers), end_stream=not body)
    if body:
        state.send_data(1, body, end_stream=True)
    connection.send(state.data_to_send())
    response = None
    while True:
        if not connection.fill():
            raise Lost("HTTP/2")
        events = state.receive_data(connection.buffer)
        connection.buffer = b""
        for event in events:
            if isinstance(event, h2.events.ResponseReceived):
                fields = dict(event.headers)
                rest = [(name, value) for name, value in event.headers if not name.startswith(b":")]
                response = Response(int(fields[b":status"]), "HTTP/2", rest)
            elif isinstance(event, h2.events.DataReceived):
                response.body += event.data
                state.acknowledge_received_data(event.flow_controlled_length, 1)
            elif isinstance(event, h2.events.TrailersReceived):
                response.trailers = list(event.headers)
            elif isinstance(event, h2.events.StreamEnded):
                response.complete = True
                connection.close()
                return response
            elif isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated)):
                return response or Response(0, "HTTP/2", [])
        connection.send(state.data_to_send())
