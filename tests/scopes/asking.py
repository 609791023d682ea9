"""Asks a server for what it tells its application: bytes out, a Python literal in."""

import ast
import os
import socket
import ssl
import sys
import zlib

import h2.config
import h2.connection
import h2.events
import h2.settings

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "conformance"))

from client import PATIENCE, Connection, Lost  # noqa: E402

#: The key of the RFC.
KEY = "dGhlIHNhbXBsZSBub25jZQ=="


class Server:
    """Where one server listens; `prefix` goes before the target of a shape."""

    def __init__(self, port, tls=False, prefix=""):
        self.port, self.tls, self.prefix = port, tls, prefix
        self.http2 = None

    def ask(self, shape):
        """What the application was told, and the port that the client had; a status when there was no such answer."""
        if shape.version == "2" and self.speaks_http2():
            return self.http2.ask(shape, self.prefix + shape.target), self.http2.own_port
        connection = Connection(self.port, self.tls)
        own_port = connection.socket.getsockname()[1]
        try:
            connection.send(as_bytes(shape, self.prefix + shape.target if shape.target[:1] in ("/", "") else shape.target))
            return (websocket_told if shape.websocket else told)(connection, shape), own_port
        except Lost:
            return 0, own_port
        finally:
            connection.close()

    def speaks_http2(self):
        if self.http2 is None and self.tls:
            self.http2 = Http2(self.port)
        return self.http2 is not None and self.http2.spoken


def handshake(shape):
    """The fields of HTTP/1.1 that ask for a WebSocket."""
    if not shape.websocket:
        return []
    return [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Key", KEY), ("Sec-WebSocket-Version", "13")]


def as_bytes(shape, target):
    """For HTTP/1."""
    version = "1.0" if shape.version == "1.0" else "1.1"
    fields = [("Host", shape.host)] * bool(shape.host) + handshake(shape) + list(shape.fields)
    body = b""
    if isinstance(shape.body, list):
        fields.append(("Transfer-Encoding", "chunked"))
        body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in shape.body) + b"0\r\n\r\n"
    elif shape.body is not None:
        fields.append(("Content-Length", str(len(shape.body))))
        body = shape.body
    head = "%s %s HTTP/%s\r\n" % (shape.method, target, version)
    return (head + "".join("%s: %s\r\n" % field for field in fields) + "\r\n").encode("latin-1") + body


def told(connection, shape):
    answer = connection.response(shape.method)
    if answer.status != 200:
        return answer.status
    return ast.literal_eval((answer.one("x-told") if shape.method == "HEAD" else answer.body).decode())


def websocket_told(connection, _shape):
    answer = connection.response()
    if answer.status != 101:
        return answer.status
    head = connection.take(4)
    while (text := frame_text(head + connection.buffer)) is None:
        if not connection.fill():
            raise Lost("WebSocket")
    return ast.literal_eval(text)


class Http2:
    """One connection for all requests of HTTP/2."""

    def __init__(self, port):
        self.connection = Connection(port, ["h2"])
        self.own_port = self.connection.socket.getsockname()[1]
        self.spoken = self.connection.socket.selected_alpn_protocol() == "h2"
        if not self.spoken:
            self.connection.close()
            return
        plain = h2.config.H2Configuration(
            header_encoding=None, validate_outbound_headers=False, normalize_outbound_headers=False
        )
        self.state = h2.connection.H2Connection(plain)
        self.state.initiate_connection()
        self.stream = -1

    def ask(self, shape, target):
        self.stream += 2
        method = "CONNECT" if shape.websocket else shape.method
        pseudo = [(":method", method), (":scheme", "https"), (":authority", shape.host), (":path", target)]
        fields = list(shape.fields)
        if shape.websocket:
            pseudo.append((":protocol", "websocket"))
            fields.insert(0, ("sec-websocket-version", "13"))
        # A body in chunks is one whose length is not said.
        chunks = shape.body if isinstance(shape.body, list) else [shape.body or b""]
        if isinstance(shape.body, bytes):
            fields.append(("content-length", str(len(shape.body))))
        fields = [(name.lower().encode("latin-1"), value.strip(" \t").encode("latin-1")) for name, value in pseudo + fields]
        ends = not shape.websocket and shape.body in (None, b"")
        self.state.send_headers(self.stream, fields, end_stream=ends)
        if not ends and not shape.websocket:
            for chunk in chunks:
                self.send(chunk)
            self.state.end_stream(self.stream)
        return self.answer(shape)

    def send(self, data):
        while data:
            window = min(self.state.local_flow_control_window(self.stream), self.state.max_outbound_frame_size)
            if not window:
                self.receive()
                continue
            self.state.send_data(self.stream, data[:window])
            data = data[window:]

    def receive(self):
        self.connection.send(self.state.data_to_send())
        if not self.connection.fill():
            raise Lost("HTTP/2")
        events = self.state.receive_data(self.connection.buffer)
        self.connection.buffer = b""
        return events

    def answer(self, shape):
        status, fields, body = 0, {}, b""
        while True:
            for event in self.receive():
                if getattr(event, "stream_id", self.stream) != self.stream:
                    continue
                if isinstance(event, h2.events.ResponseReceived):
                    fields = dict(event.headers)
                    status = int(fields[b":status"])
                elif isinstance(event, h2.events.DataReceived):
                    body += event.data
                    self.state.acknowledge_received_data(event.flow_controlled_length, self.stream)
                elif isinstance(event, h2.events.StreamReset):
                    return 0
                elif isinstance(event, h2.events.ConnectionTerminated):
                    raise Lost("HTTP/2")
                ended = isinstance(event, h2.events.StreamEnded)
                if shape.websocket and status == 200 and (text := frame_text(body)) is not None:
                    self.state.reset_stream(self.stream, 8)
                    return ast.literal_eval(text)
                if ended:
                    if status != 200:
                        return status
                    return ast.literal_eval((fields[b"x-told"] if shape.method == "HEAD" else body).decode())


def frame_text(data):
    """The text of the one WebSocket frame that this begins with, when it is whole."""
    if len(data) < 4:
        return None
    at, size = (4, int.from_bytes(data[2:4], "big")) if data[1] == 126 else (2, data[1])
    payload = data[at : at + size]
    if len(payload) < size:
        return None
    # Compressed, where that was offered (RFC 7692).
    return (zlib.decompress(payload + b"\0\0\xff\xff\3\0", -15) if data[0] & 0x40 else payload).decode()
