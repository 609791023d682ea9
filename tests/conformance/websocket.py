"""The client's side of RFC 6455, over the plain client."""

import ast
import base64
import hashlib
import os
import struct

from client import Connection, Lost


class WebSocket(Connection):
    """A client of RFC 6455."""

    def __init__(self, port, target, headers=(), tls=False):
        super().__init__(port, tls)
        key = base64.b64encode(os.urandom(16))
        self.accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        fields = [
            (b"upgrade", b"websocket"),
            (b"connection", b"Upgrade"),
            (b"sec-websocket-key", key),
            (b"sec-websocket-version", b"13"),
        ]
        names = {name for name, _ in headers}
        self.request("GET", target, [field for field in fields if field[0] not in names] + list(headers))

    def shake(self):
        """Reads the end of the handshake, which must be good."""
        self.answer = self.response()
        assert self.answer.status == 101, self.answer
        assert self.answer.one("sec-websocket-accept") == self.accept, self.answer
        return self

    def frame(self, opcode, payload=b"", fin=True, mask=True, rsv=0):
        head = bytes([(0x80 if fin else 0) | rsv | opcode])
        bit = 0x80 if mask else 0
        if len(payload) < 126:
            head += bytes([bit | len(payload)])
        elif len(payload) < 1 << 16:
            head += struct.pack("!BH", bit | 126, len(payload))
        else:
            head += struct.pack("!BQ", bit | 127, len(payload))
        if mask:
            head += b"\0\0\0\0"  # A mask like any other, and the payload stays readable.
        self.send(head + payload)

    def text(self, text):
        self.frame(1, text.encode())

    def bytes(self, data):
        self.frame(2, data)

    def leave(self, code=None, reason=""):
        self.frame(8, struct.pack("!H", code) + reason.encode() if code else b"")

    def read_frame(self):
        """fin, reserved bits, opcode, payload"""
        first, second = self.take(2)
        assert not second & 0x80, "a server must not mask"
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", self.take(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", self.take(8))
        return bool(first & 0x80), first & 0x70, first & 0x0F, self.take(size)

    def read(self):
        """The next message: a text, bytes, or (code, reason) of a close; (1006, "") when the connection is cut."""
        whole, kind = b"", None
        try:
            while True:
                fin, reserved, opcode, payload = self.read_frame()
                assert not reserved, "reserved bits without an extension"
                if opcode == 8:
                    if len(payload) < 2:
                        return (1005, "")
                    return (struct.unpack("!H", payload[:2])[0], payload[2:].decode())
                if opcode == 9:
                    self.frame(10, payload)
                elif opcode in (0, 1, 2):
                    kind = opcode or kind
                    whole += payload
                    if fin:
                        return whole.decode() if kind == 1 else whole
        except Lost:
            return (1006, "")

    def value(self):
        """The Python literal that an application told."""
        text = self.read()
        assert isinstance(text, str), text
        return ast.literal_eval(text)
