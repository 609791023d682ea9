"""The requests: what one may look like, in all its parts."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Shape:
    """One request. `version` is "1.0", "1.1" or "2"; a body is bytes, or a list of chunks."""

    method: str = "GET"
    target: str = "/"
    fields: tuple = ()
    body: object = None
    version: str = "1.1"
    host: str = "example.org"
    mounted: bool = False
    websocket: bool = False

    def title(self):
        words = ["HTTP/" + self.version, "WebSocket" if self.websocket else self.method, self.target]
        words += ["mounted"] * self.mounted + ["at " + repr(self.host)] * (self.host != "example.org")
        words += ["%s: %s" % (name, value[:40]) for name, value in self.fields]
        if self.body is not None:
            words.append("body %r" % (self.body if len(self.body) < 40 else len(self.body),))
        return " ".join(words)


METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "REPORT", "M-SEARCH"]

TARGETS = [
    "/a",
    "/a/b/",
    "/a%20b",
    "/a+b",
    "/caf%C3%A9",
    "/%e2%98%83",
    "/%FF",
    "/a%2Fb",
    "/a%25b",
    "/a%3Fb%23c",
    "/%41",
    "//",
    "//a",
    "/a//b",
    "/a///",
    "/http://x.test/y",
    "/a/%2F/b",
    "/a;p=1/b",
    "/a:b@c,d!$&'()*=",
    "/~a_b-c.d",
    "/..a/b..",
    "/a\\b",
    '/a"<>^`{|}',
    "/a%5Cb",
    "/a%0Ab",
    "/%C3%28",
    "/?",
    "/?q",
    "/a?q=1&r=%20+2",
    "/a?q=%FF&c=%C3%A9",
    "/a?b?c/d//e",
    "/a?[x]={y}|z\\\"",
    "/a?http://x.test/",
    "/" + "a" * 1000 + "?" + "b" * 1000,
    # Dot segments are resolved here.
    "/a/./b",
    "/a/../b",
    "/a/b/..",
    "/a/%2e%2e/b",
    "/a//../b",
    "/./a//b",
]

FIELDS = [
    [("X-Some-Thing", "a b")],
    [("x-lower", "1"), ("X-UPPER", "2"), ("X-Mixed", "3")],
    [("X-Two", "1"), ("Accept", "a/b"), ("X-Two", "2"), ("accept", "c/d")],
    [("X-Two", "1"), ("x-two", "1"), ("X-TWO", "")],
    [("Cookie", "a=1; b=2")],
    [("Cookie", "a=1"), ("Cookie", "b=2")],
    [("X-Empty", "")],
    [("X-Blank", "  a  b\t ")],
    [("X-Latin", "caf\xe9")],
    [("X-Utf8", "café".encode().decode("latin-1"))],
    [("X-Odd", "\"'\\;,=()<>@[]{}?/")],
    [("X!#$%&'*+.^`|~", "a")],
    [("X-1", "a"), ("1", "b")],
    [("X-Long", "a" * 4000)],
    [("X-%d" % number, str(number)) for number in range(60)],
    [("User-Agent", "curl/8.5.0"), ("Accept", "*/*"), ("Accept-Encoding", "gzip, br"), ("Accept-Language", "de")],
    [("Authorization", "Basic YTpi")],
    [("Referer", "http://example.org/"), ("Origin", "http://example.org")],
    [("Range", "bytes=0-1"), ("If-None-Match", '"a"'), ("If-Modified-Since", "Thu, 01 Jan 1970 00:00:00 GMT")],
    [("Content-Type", "text/plain")],
    [("Content-Type", ""), ("Content-Encoding", "gzip"), ("Content-Language", "de")],
    [("X-Requested-With", "XMLHttpRequest"), ("X-CSRFToken", "abc"), ("Sec-Fetch-Mode", "cors")],
    [("Via", "1.1 proxy"), ("Max-Forwards", "5"), ("Cache-Control", "no-cache"), ("Pragma", "no-cache")],
    [("CF-Connecting-IP", "192.0.2.1"), ("True-Client-IP", "192.0.2.1"), ("X-Client-IP", "192.0.2.1")],
    [("DNT", "1"), ("Upgrade-Insecure-Requests", "1"), ("Date", "Thu, 01 Jan 1970 00:00:00 GMT"), ("From", "a@b")],
    [("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), ("tracestate", "a=b")],
    [("Host-Name", "a"), ("X-Hosts", "b"), ("X-Content-Length", "5"), ("Content-Length-X", "5")],
    # What does not go on.
    [("X_Under_Score", "a"), ("X-Under-Score", "b")],
    [("Proxy", "http://evil.test"), ("Proxy-Authorization", "Basic YTpi"), ("Proxy-Connection", "keep-alive")],
    [("Forwarded", "for=192.0.2.1;proto=https"), ("X-Forwarded-For", "192.0.2.1"), ("X-Real-IP", "192.0.2.1")],
    [("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "evil.test"), ("X-Forwarded-Port", "444")],
    [("X-Forwarded-Prefix", "/evil"), ("X-Forwarded-Anything", "a"), ("X-Forwarded-Server", "a")],
    [("X-Scheme", "https"), ("X-Url-Scheme", "https"), ("Front-End-Https", "on"), ("X-Forwarded-Ssl", "on")],
    [("X-Script-Name", "/evil"), ("X-Original-URL", "/evil"), ("X-Rewrite-URL", "/evil")],
    [("X-Forwarded", "for=192.0.2.1"), ("X-Host", "evil.test"), ("X-Original-Host", "evil.test")],
    [("X-Original-URI", "/evil"), ("Script-Name", "/evil")],
    [("X-Request-ID", "theirs")],
]

#: What concerns one connection, which HTTP/2 does not have.
HOP_BY_HOP = [
    [("Connection", "close")],
    [("Connection", "keep-alive"), ("Keep-Alive", "timeout=5")],
    [("Connection", "x-mine"), ("X-Mine", "1"), ("X-Other", "2")],
    [("TE", "trailers"), ("Trailer", "X-Checksum")],
    [("Upgrade", "h2c"), ("Connection", "Upgrade, HTTP2-Settings"), ("HTTP2-Settings", "AAMAAABk")],
]

BODIES = [b"", b"a", b"four", b"a=1&b=%20", b"\0\xff\r\n\r\n", b"x" * 100_000]
CHUNKS = [[], [b"a"], [b"four", b"more"], [b"x" * 1000] * 100]

#: Of a WebSocket's handshake.
OFFERS = [
    [],
    [("Sec-WebSocket-Protocol", "chat, superchat")],
    [("Sec-WebSocket-Protocol", "chat"), ("Sec-WebSocket-Protocol", "superchat")],
    [("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits")],
    [("Origin", "http://example.org"), ("User-Agent", "browser")],
]


def requests(version):
    """Every part once, with the rest of it plain."""
    plain = Shape(version=version)
    yield from (replace(plain, method=method) for method in METHODS)
    yield from (replace(plain, target=target) for target in TARGETS)
    yield from (replace(plain, fields=tuple(fields)) for fields in FIELDS)
    yield from (replace(plain, host=host) for host in ("example.org:8080", "localhost", "EXAMPLE.org", "[::1]:80", "127.0.0.1"))
    if version != "2":
        yield from (replace(plain, fields=tuple(fields)) for fields in HOP_BY_HOP)
    if version == "1.0":
        yield replace(plain, host="")
    for method in ("POST", "PUT", "DELETE", "GET"):
        yield from (replace(plain, method=method, body=body) for body in BODIES)
    post = replace(plain, method="POST", fields=(("Content-Type", "application/json"), ("X-A", "b")))
    yield from (replace(post, body=body) for body in BODIES)
    yield replace(post, fields=(("Content-Type", "text/plain"), ("Expect", "100-continue")), body=b"four")
    if version != "1.0":
        yield from (replace(post, method=method, body=chunks) for chunks in CHUNKS for method in ("POST", "PUT"))
    if version == "1.1":
        yield replace(plain, target="http://example.org/a?b")
        yield replace(plain, target="http://example.org")
        yield replace(plain, method="OPTIONS", target="*")


def mounted(version):
    """Below a path."""
    plain = Shape(version=version, mounted=True)
    for target in TARGETS:
        # What leaves the prefix is another application's.
        if ".." not in target:
            yield replace(plain, target=target)
    yield replace(plain, method="POST", body=b"four")
    yield replace(plain, method="HEAD")


def websockets(version, mounted=False):
    plain = Shape(version=version, websocket=True, mounted=mounted)
    yield from (replace(plain, fields=tuple(fields)) for fields in OFFERS + FIELDS[:-8])
    yield from (replace(plain, target=target) for target in TARGETS if ".." not in target)
    yield from (replace(plain, fields=tuple(fields)) for fields in FIELDS[-8:])
    yield from (replace(plain, host=host) for host in ("example.org:8080", "localhost"))


def all_shapes():
    for version in ("1.0", "1.1", "2"):
        yield from requests(version)
    for version in ("1.1", "2"):
        yield from mounted(version)
        yield from websockets(version)
    yield from websockets("1.1", mounted=True)
