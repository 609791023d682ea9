"""One request, or several on one connection, at one server; and all that came back.

Behind what a shape sends goes one more request, which tells whether the connection is still good: its answer is not looked at.
"""

import os
import socket
import ssl
import sys
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "conformance"))

from client import Connection, Lost  # noqa: E402

OPEN, CLOSED, UNASKED = "open", "closed", "the body was not asked for"
WHOLE, CUT, SILENT = "whole", "cut", "silent"

#: What is asked behind a shape. The answer has a body, so that it can be told from anything else.
PROBE = b"GET /probe HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n"
PROBED = b"/probe"


@dataclass
class Answer:
    """One answer. `status` 0: there was none."""

    status: int = 0
    reason: str = ""
    version: str = ""
    fields: list = field(default_factory=list)
    body: bytes = b""
    trailers: list = field(default_factory=list)
    #: Did it end as its framing says?
    end: str = WHOLE
    #: Status of the interim answers before it.
    interim: list = field(default_factory=list)

    def all(self, name):
        return [value for other, value in self.fields if other == name]

    def one(self, name):
        return next(iter(self.all(name)), None)


def http1(port, shape, content):
    """Answers to the shape, and whether the connection is open behind them. `content` is what to send."""
    connection, answers = Connection(port), []
    try:
        first, rest = content, b""
        if shape.waits:
            first, _, rest = content.partition(b"\r\n\r\n")
            first += b"\r\n\r\n"
        deliver(connection, first + PROBE * shape.together)
        if shape.half_closed:
            connection.socket.shutdown(socket.SHUT_WR)
        for method in shape.methods():
            answers.append(read(connection, method, rest))
            if shape.waits and not answers[-1].interim:
                # What a server does that waits for the body all the same is a matter of time.
                return answers, UNASKED
            if answers[-1].end != WHOLE or not answers[-1].status:
                return answers, CLOSED
        if not (shape.half_closed or shape.together):
            deliver(connection, PROBE)
        more = surplus(connection)
        probed = bool(more) and PROBED in more[-1].body
        return answers + more[: len(more) - probed], OPEN if probed else CLOSED
    finally:
        connection.close()


def deliver(connection, content):
    """A server may close before it has everything, and its answer is there nevertheless."""
    try:
        connection.send(content)
    except OSError:
        pass


def surplus(connection):
    """All answers up to the end of the connection."""
    answers = []
    while True:
        answer = read(connection, "GET")
        if answer.status == 0:
            return answers
        answers.append(answer)
        if answer.end != WHOLE:
            return answers


def read(connection, method, body_to_send=b""):
    """The next final answer. An interim one asks for the body."""
    answer = Answer()
    try:
        while True:
            head(connection, answer)
            if not 100 <= answer.status < 200 or answer.status == 101:
                break
            answer.interim.append(answer.status)
            answer.status = 0
            deliver(connection, body_to_send)
            body_to_send = b""
        body(connection, answer, method)
    except Lost:
        answer.end = CUT if answer.status else WHOLE
    except (TimeoutError, socket.timeout):
        answer.end = SILENT
    except OSError:
        answer.end = CUT if answer.status else WHOLE
    return answer


def head(connection, answer):
    line = connection.line()
    if not line.startswith(b"HTTP/"):
        # HTTP/0.9: a body without a head.
        while connection.fill():
            pass
        answer.status, answer.version, answer.body = 200, "HTTP/0.9", line + connection.buffer
        connection.buffer = b""
        raise Lost("HTTP/0.9")
    version, status, *reason = line.split(b" ", 2)
    fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in connection.fields()]
    answer.status, answer.version, answer.fields = int(status), version.decode(), fields
    answer.reason = b"".join(reason).decode("latin-1")


def body(connection, answer, method):
    if method == "HEAD" or answer.status in (101, 204, 304):
        return
    if answer.all("transfer-encoding"):
        while chunk := connection.chunk():
            answer.body += chunk
        answer.trailers = connection.fields()
    elif length := answer.one("content-length"):
        while len(answer.body) < int(length):
            if not connection.buffer and not connection.fill():
                raise Lost("body")
            size = int(length) - len(answer.body)
            answer.body, connection.buffer = answer.body + connection.buffer[:size], connection.buffer[size:]
    else:
        while connection.fill():
            pass
        answer.body, connection.buffer = connection.buffer, b""


def http2(port, fields, pieces, trailers):
    """As `http1`, for one request over HTTP/2."""
    session = Session(port)
    try:
        answer = session.ask(fields, pieces, trailers)
        probe = session.ask(
            [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"probe"), (b":path", b"/probe")], [], []
        )
        return [answer], OPEN if PROBED in probe.body else CLOSED
    finally:
        session.connection.close()


class Session:
    """One HTTP/2 connection that sends what it is told, whether that is allowed or not."""

    def __init__(self, port):
        self.connection = Connection(port, ["h2"])
        config = h2.config.H2Configuration(
            header_encoding=None,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
            validate_inbound_headers=False,
        )
        self.state = h2.connection.H2Connection(config)
        self.state.initiate_connection()
        self.stream = -1
        self.ended = None

    def ask(self, fields, pieces, trailers):
        self.stream += 2
        answer, self.ended = Answer(version="HTTP/2"), None
        try:
            self.state.send_headers(self.stream, fields, end_stream=not pieces and not trailers)
            for number, piece in enumerate(pieces):
                self.send(answer, piece, number == len(pieces) - 1 and not trailers)
            if trailers:
                self.state.send_headers(self.stream, trailers, end_stream=True)
            while self.ended is None:
                self.receive(answer)
            answer.end = self.ended
        except (h2.exceptions.ProtocolError, Lost, ssl.SSLError, OSError) as lost:
            answer.end = SILENT if isinstance(lost, TimeoutError) else self.ended or CUT
        return answer

    def send(self, answer, data, end):
        while True:
            if self.ended is not None:
                return
            window = min(self.state.local_flow_control_window(self.stream), self.state.max_outbound_frame_size)
            if data and not window:
                self.receive(answer)
                continue
            piece, data = data[:window], data[window:]
            self.state.send_data(self.stream, piece, end_stream=end and not data)
            if not data:
                return

    def receive(self, answer):
        self.connection.send(self.state.data_to_send())
        if not self.connection.fill():
            raise Lost("HTTP/2")
        events = self.state.receive_data(self.connection.buffer)
        self.connection.buffer = b""
        for event in events:
            if isinstance(event, h2.events.ConnectionTerminated) and self.ended is None and event.error_code:
                self.ended = "goaway %d" % event.error_code
            if getattr(event, "stream_id", None) != self.stream:
                continue
            if isinstance(event, h2.events.InformationalResponseReceived):
                answer.interim.append(int(dict(event.headers)[b":status"]))
            elif isinstance(event, h2.events.ResponseReceived):
                fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers]
                answer.status = int(dict(fields)[":status"])
                answer.fields = [pair for pair in fields if pair[0] != ":status"]
            elif isinstance(event, h2.events.DataReceived):
                answer.body += event.data
                self.state.acknowledge_received_data(event.flow_controlled_length, self.stream)
            elif isinstance(event, h2.events.TrailersReceived):
                answer.trailers = list(event.headers)
            elif isinstance(event, h2.events.StreamEnded) and self.ended is None:
                self.ended = WHOLE
            elif isinstance(event, h2.events.StreamReset) and self.ended is None:
                self.ended = "reset %d" % event.error_code
