"""The requests: lists of everything that one may have, and random ones made of them with a seed that never changes."""

import os
import random
from dataclasses import dataclass

from parts import (
    BODIES,
    BROKEN_OFF,
    CHUNKED,
    CHUNKS,
    CONNECTIONS,
    ENCODINGS,
    FIELDS,
    FILE,
    FILES,
    FORMS,
    FRAMINGS,
    HEADS,
    HOSTS,
    METHODS,
    PIPELINES,
    RANGES,
    SEGMENTS,
    STREAMS,
    TAGS,
    TARGETS,
    TIMES,
)

CORPORA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "corpora", "http1")

ALL = ("1.0", "1.1", "2")


@dataclass(frozen=True)
class Shape:
    """What is sent on one connection. `raw` (HTTP/1) is sent as it is; `{etag}` and `{modified}` in values stand for what the
    server said of the file."""

    version: str = "1.1"
    method: str = "GET"
    target: str = "/echo"
    host: str = "example.org"
    fields: tuple = ()
    #: Bytes with a Content-Length, or a list of chunks; None: no body.
    body: object = None
    trailers: tuple = ()
    raw: bytes = b""
    #: Methods of the requests in `raw`.
    asks: tuple = ()
    #: Fields of HTTP/2 as they are sent.
    stream: tuple = ()
    #: The body is sent when the server asks for it.
    waits: bool = False
    #: What ends it: nothing, one more request in the same piece, or the end of what the client sends.
    half_closed: bool = False
    together: bool = False

    def methods(self):
        return self.asks or (self.method,)

    def is_file(self):
        return b"/static" in self.raw or self.target.startswith("/static")

    def is_for_uvicorn(self):
        """It has no files; and over HTTP/1.1 it would wait for the body that does not come."""
        promised = any(name == "Content-Length" and value.strip("0") for name, value in self.fields) and self.body is None
        return not self.is_file() and not promised and not self.stream

    def has(self, *names):
        """Is there a field of such a name (in lower case)?"""
        lines = self.raw.lower()
        return any(name.lower() in names for name, _ in self.fields + self.stream) or any(
            b"\n%b:" % name.encode() in lines for name in names
        )

    def value(self, name):
        """Of the first field of this name."""
        return next((value for other, value in self.fields if other.lower() == name), "")

    def title(self):
        if self.raw:
            text = self.raw.decode("latin-1").encode("unicode_escape").decode()
            text = text if len(text) < 400 else text[:300] + " ... " + text[-60:]
            return text + ", and closes its side" * self.half_closed + ", and a second one" * self.together
        if self.stream:
            words = ["HTTP/2"] + ["%s: %s" % (name, shortened(value)) for name, value in self.stream]
            return " ".join(words).encode("unicode_escape").decode()
        words = ["HTTP/" + self.version, self.method, shortened(self.target)]
        words += ["at " + repr(self.host)] * (self.host != "example.org")
        words += ["%s: %s" % (name, shortened(value)) for name, value in self.fields[:6]] + ["..."] * (len(self.fields) > 6)
        if self.body is not None:
            words.append("body %r" % (self.body if len(self.body) < 40 else len(self.body),))
        words += ["trailer %s: %s" % pair for pair in self.trailers] + ["when it is asked for"] * self.waits
        return " ".join(words).encode("unicode_escape").decode()

    def http1(self, known):
        """The bytes of HTTP/1."""
        if self.raw:
            return self.raw
        fields = [("Host", self.host)] * (self.host is not None) + list(self.fields)
        body = b""
        if isinstance(self.body, list):
            fields.append(("Transfer-Encoding", "chunked"))
            body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in self.body) + b"0\r\n"
            body += b"".join(("%s: %s\r\n" % pair).encode("latin-1") for pair in self.trailers) + b"\r\n"
        elif self.body is not None:
            fields.append(("Content-Length", str(len(self.body))))
            body = self.body
        version = "1.0" if self.version == "1.0" else "1.1"
        head = "%s %s HTTP/%s\r\n" % (self.method, self.target, version)
        return (head + "".join("%s: %s\r\n" % (name, filled(value, known)) for name, value in fields) + "\r\n").encode(
            "latin-1"
        ) + body

    def http2(self, known):
        """Fields, pieces of the body and trailers of HTTP/2."""
        if self.stream:
            return bytes_of(self.stream), [], []
        fields = [(":method", self.method), (":scheme", "https")]
        fields += [(":authority", self.host)] * (self.host is not None) + [(":path", self.target)]
        fields += [(name.lower(), filled(value, known).strip(" \t")) for name, value in self.fields]
        pieces = self.body if isinstance(self.body, list) else [self.body] * (self.body is not None)
        if isinstance(self.body, bytes):
            fields.append(("content-length", str(len(self.body))))
        return bytes_of(fields), pieces, bytes_of([(name.lower(), value) for name, value in self.trailers])


def shortened(text):
    return text if len(text) < 120 else "%s... (%d)" % (text[:40], len(text))


def filled(value, known):
    return value.replace("{etag}", known[0]).replace("{modified}", known[1])


def bytes_of(fields):
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields]


class Choice:
    """A random choice that is the same with every Python."""

    def __init__(self, seed):
        self.random = random.Random(seed).random

    def below(self, bound):
        return int(self.random() * bound)

    def of(self, things):
        return things[self.below(len(things))]


def of(version, fields, **parts):
    """A shape; over HTTP/2 without fields that only HTTP/1 has."""
    return Shape(version=version, fields=tuple(fields), **parts)


def raw(content, *asks, **parts):
    return Shape(raw=content, asks=asks or (content.split(b" ")[0].decode("latin-1"),), **parts)


def targets():
    for version in ALL:
        for target in TARGETS:
            yield Shape(version=version, target=target)
        for name in FILES:
            yield Shape(version=version, target="/static/" + name)
        yield Shape(version=version, target="/static")
        for target in FORMS:
            for method in ("GET", "OPTIONS"):
                yield Shape(version=version, method=method, target=target)
    choice = Choice(12)
    for number in range(300):
        segments = [choice.of(SEGMENTS) for _ in range(1 + choice.below(5))]
        yield Shape(version=ALL[number % 3], target=choice.of(["/", "/", "/static/"]) + "/".join(segments))


def methods():
    for version in ALL:
        for method in METHODS:
            for target in ("/echo", FILE, "/static/missing", "/static/dir", "/static/dir/", "/answer/empty"):
                yield Shape(version=version, method=method, target=target)
                if method in ("POST", "PUT", "BREW", "HEAD"):
                    yield Shape(version=version, method=method, target=target, body=b"four")


def fields():
    for version in ALL:
        for pairs in FIELDS:
            yield of(version, pairs)
            yield of(version, pairs, target=FILE)
        for host in HOSTS:
            yield Shape(version=version, host=host)
            yield Shape(version=version, host=host, target="/static/dir")
        yield of(version, [("Host", "other.test")])
    choice = Choice(13)
    flat = [pair for pairs in FIELDS for pair in pairs[:6] if len(pair[0]) + len(pair[1]) < 1000]
    for number in range(150):
        yield of(ALL[number % 3], [choice.of(flat) for _ in range(2 + choice.below(6))])


def connections():
    for version in ("1.0", "1.1"):
        for value in CONNECTIONS:
            for target in ("/echo", FILE, "/answer/no-length", "/answer/204"):
                yield of(version, [("Connection", value), ("X-Mine", "1"), ("Cookie", "a=1")], target=target)
        yield of(version, [("Connection", "close"), ("Connection", "keep-alive")])
        yield of(version, [("Connection", "keep-alive"), ("Connection", "close")])
        yield of(version, [("Connection", "keep-alive"), ("Keep-Alive", "timeout=1, max=1")])
        yield of(version, [("Connection", "close")], method="POST", body=b"four")
        yield of(version, [("Connection", "keep-alive")], method="HEAD")
    for value in ("close", "keep-alive", "x-mine"):
        yield of("2", [("Connection", value), ("X-Mine", "1")])
    yield from (raw(content, *asks) for asks, content in PIPELINES)


def bodies():
    for version in ALL:
        for method in ("POST", "GET", "DELETE"):
            for body in BODIES:
                yield Shape(version=version, method=method, body=body)
        for target in (FILE, "/static/missing", "/answer/length", "/answer/raises", "/answer/204"):
            yield Shape(version=version, method="POST", target=target, body=b"x" * 70_000)
            yield Shape(version=version, method="POST", target=target, body=b"x" * 1_048_577)
        yield of(version, [("Expect", "100-continue")], method="POST", body=b"four")
        yield of(version, [("Expect", "100-Continue")], method="POST", body=b"four")
        yield of(version, [("Expect", "100-continue")], method="POST", body=b"x" * 1_048_577)
        yield of(version, [("Expect", "100-continue")], method="POST", target=FILE, body=b"four")
        yield of(version, [("Expect", "100-continue")])
        yield of(version, [("Expect", "100-continue"), ("Expect", "100-continue")], method="POST", body=b"four")
        yield of(version, [("Expect", "200-ok")], method="POST", body=b"four")
    for target in ("/echo", "/answer/204", "/answer/404", "/answer/no-length", FILE, "/static/missing", "/static/dir"):
        for body in (b"four", [b"four", b"more"], b"x" * 1_048_577):
            yield of("1.1", [("Expect", "100-continue")], method="POST", target=target, body=body, waits=True)
    yield from (Shape(version="2", stream=tuple(stream)) for stream in STREAMS)
    for version in ("1.1", "2"):
        for body in CHUNKS:
            yield Shape(version=version, method="POST", body=body)
            yield Shape(version=version, method="GET", body=body)
        yield Shape(version=version, method="POST", body=[b"x" * 1000] * 1100)
        for trailers in (
            [("X-Sum", "a")],
            [("Content-Length", "9")],
            [("Host", "evil.test")],
            [("X-Sum", "a"), ("X-Sum", "b")],
        ):
            yield Shape(version=version, method="POST", body=[b"four"], trailers=tuple(trailers))
        yield of(
            version, [("Trailer", "X-Sum"), ("TE", "trailers")], method="POST", body=[b"four"], trailers=(("X-Sum", "a"),)
        )
    for length in ("0", "3", "5", "4", "04", "+4", "-4", "a", "", "4, 4", "99999999999999999999"):
        yield of("2", [("Content-Length", length)], method="POST", body=[b"four"])
    yield of("2", [("Content-Length", "4"), ("Content-Length", "4")], method="POST", body=[b"four"])
    yield of("2", [("Transfer-Encoding", "chunked")], method="POST", body=[b"four"])
    yield of("2", [("Content-Length", "4")])  # Nothing comes behind it.
    for line, body in FRAMINGS:
        for version in (b"1.1", b"1.0"):
            content = b"POST /echo HTTP/%b\r\nHost: a\r\n%b\r\n\r\n%b" % (version, line.encode("latin-1"), body)
            yield raw(content, "POST", together=True)
    for body in CHUNKED:
        yield raw(b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body, "POST", together=True)
    for content in BROKEN_OFF:
        yield raw(content, "GET", half_closed=True)


def conditionals():
    for version in ("1.1", "2"):
        for name in ("If-Match", "If-None-Match"):
            for value in TAGS:
                yield of(version, [(name, value)], target=FILE)
        for name in ("If-Modified-Since", "If-Unmodified-Since"):
            for value in TIMES:
                yield of(version, [(name, value)], target=FILE)
        for value in TAGS + TIMES:
            yield of(version, [("Range", "bytes=0-3"), ("If-Range", value)], target=FILE)
        for name in ("If-Match", "If-None-Match"):
            yield of(version, [(name, '"other"'), (name, "{etag}")], target=FILE)
    choice = Choice(14)
    names = [
        ("If-Match", TAGS),
        ("If-None-Match", TAGS),
        ("If-Modified-Since", TIMES[:12]),
        ("If-Unmodified-Since", TIMES[:12]),
        ("Range", RANGES[:14]),
        ("If-Range", TAGS + TIMES[:12]),
    ]
    for number in range(400):
        pairs = [(name, choice.of(values[: 1 + choice.below(len(values))])) for name, values in names if choice.below(2)]
        target = choice.of(
            [
                FILE,
                FILE,
                FILE,
                FILE,
                "/static/missing",
                "/static/dir",
                "/static/dir/",
                "/static/empty.txt",
                "/answer/validators",
                "/static/packed.css",
            ]
        )
        yield of(ALL[number % 3], pairs, target=target, method=choice.of(["GET", "GET", "GET", "HEAD", "HEAD", "POST"]))


def ranges():
    for version in ALL:
        for value in RANGES:
            yield of(version, [("Range", value)], target=FILE)
    for value in RANGES:
        yield of("1.1", [("Range", value)], target=FILE, method="HEAD")
        yield of("1.1", [("Range", value)], target="/static/empty.txt")
        yield of("1.1", [("Range", value)], target="/static/packed.css")
    for value in ("bytes=0-3", "bytes=299990-", "bytes=0-299999", "bytes=0-1,299998-", "bytes=300000-"):
        for target in ("/static/big.bin", "/static/missing", "/static/dir", "/static/dir/", "/answer/length", "/echo"):
            yield of("1.1", [("Range", value)], target=target)
        yield of("1.1", [("Range", value)], target="/static/big.bin", method="POST")
    yield of("1.1", [("Range", "bytes=0-1"), ("Range", "bytes=3-4")], target=FILE)


def encodings():
    for version in ("1.1", "2"):
        for value in ENCODINGS:
            yield of(version, [("Accept-Encoding", value)], target="/static/packed.css")
        yield of(version, [("Accept-Encoding", "gzip")], target=FILE)
        yield of(version, [("Accept-Encoding", "gzip"), ("Range", "bytes=0-3")], target="/static/packed.css")
        yield of(version, [("Accept-Encoding", "identity"), ("Accept-Encoding", "gzip")], target="/static/packed.css")
    yield of("1.0", [("Accept-Encoding", "gzip")], target="/static/packed.css")
    yield of("1.1", [("Accept-Encoding", "gzip")], target="/static/packed.css", method="HEAD")
    yield of("1.1", [("Accept-Encoding", "gzip"), ("Via", "1.1 a")], target="/static/packed.css")


def answers(names):
    for name in names:
        for version in ALL:
            # Whether an answer to HEAD is over before its application fails is a matter of time.
            for method in ("GET", "POST") if name.startswith("raises-") else ("GET", "HEAD", "POST"):
                body = b"four" if method == "POST" else None
                yield Shape(version=version, method=method, target="/answer/" + name, body=body)
        yield of("1.0", [("Connection", "keep-alive")], target="/answer/" + name)
        yield of("1.1", [("Connection", "close")], target="/answer/" + name)


def syntax():
    yield from (raw(content, together=True) for content in HEADS)
    for kind in ("invalid", "valid"):
        for name in sorted(os.listdir(os.path.join(CORPORA, kind))):
            with open(os.path.join(CORPORA, kind, name), encoding="ascii") as file:
                expected, _, text = file.read().partition("\n\n")
            content = text.replace("\n", "").encode().decode("unicode_escape").encode("latin-1")
            asks = [line.split()[1] for line in expected.split("\n") if line.startswith("request:")]
            yield raw(content, *asks or ["GET"], together=True)


def all_shapes(names):
    """`names`: of the answers that the application has."""
    for group in (
        targets(),
        methods(),
        fields(),
        connections(),
        bodies(),
        conditionals(),
        ranges(),
        encodings(),
        answers(names),
        syntax(),
    ):
        yield from group
