"""The application behind every server, once for WSGI and once for ASGI: answers of every kind, and an echo.

`/answer/NAME` gives the answer of that name, whatever the method; every other path is answered with what the application was
told. All its answers have a field `X-App`, so that pages of a server's own can be told apart.
"""

import ast
import asyncio
import hashlib
import io
import os
import sys
import time

BIG = bytes(range(256)) * 4096
TEXT = b"four words of text\n"
LENGTH = ("Content-Length", str(len(TEXT)))
PLAIN = ("Content-Type", "text/plain")
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"

#: Status, fields, pieces of the body. What both interfaces can say.
ANSWERS = {
    "length": ("200 OK", [PLAIN, LENGTH], [TEXT]),
    "no-length": ("200 OK", [PLAIN], [TEXT]),
    "pieces": ("200 OK", [PLAIN], [TEXT, b"", TEXT]),
    "pieces-with-length": ("200 OK", [PLAIN, ("Content-Length", str(2 * len(TEXT)))], [TEXT, b"", TEXT]),
    "empty": ("200 OK", [PLAIN], []),
    "empty-piece": ("200 OK", [PLAIN], [b""]),
    "empty-length": ("200 OK", [PLAIN, ("Content-Length", "0")], []),
    "no-type": ("200 OK", [LENGTH], [TEXT]),
    "big": ("200 OK", [PLAIN, ("Content-Length", str(len(BIG)))], [BIG]),
    "big-no-length": ("200 OK", [PLAIN], [BIG]),
    "big-pieces": ("200 OK", [PLAIN], [BIG[:100_000], BIG[100_000:700_000], BIG[700_000:]]),
    "created": ("201 Created", [("Location", "/made/1"), ("Content-Length", "0")], []),
    "accepted": ("202 Accepted", [PLAIN, LENGTH], [TEXT]),
    "204": ("204 No Content", [], []),
    "204-length": ("204 No Content", [("Content-Length", "0")], []),
    "204-body": ("204 No Content", [PLAIN], [TEXT]),
    "204-type": ("204 No Content", [PLAIN, ("X-More", "a")], []),
    "205": ("205 Reset Content", [], []),
    "205-length": ("205 Reset Content", [("Content-Length", "0")], []),
    "206": ("206 Partial Content", [PLAIN, LENGTH, ("Content-Range", "bytes 0-18/100")], [TEXT]),
    "304": ("304 Not Modified", [("ETag", '"a"')], []),
    "304-length": ("304 Not Modified", [("ETag", '"a"'), LENGTH], []),
    "304-body": ("304 Not Modified", [("ETag", '"a"'), PLAIN], [TEXT]),
    "location-path": ("302 Found", [("Location", "/there?a=b#c"), ("Content-Length", "0")], []),
    "location-relative": ("302 Found", [("Location", "there"), LENGTH], [TEXT]),
    "location-up": ("301 Moved Permanently", [("Location", "../there"), LENGTH], [TEXT]),
    "location-query": ("303 See Other", [("Location", "?page=2"), LENGTH], [TEXT]),
    "location-host": ("307 Temporary Redirect", [("Location", "//other.test/a"), LENGTH], [TEXT]),
    "location-absolute": ("308 Permanent Redirect", [("Location", "http://other.test/a"), LENGTH], [TEXT]),
    "location-latin": ("302 Found", [("Location", "/caf\xe9"), LENGTH], [TEXT]),
    "location-blank": ("302 Found", [("Location", "/two words"), LENGTH], [TEXT]),
    "location-empty": ("302 Found", [("Location", ""), LENGTH], [TEXT]),
    "400": ("400 Bad Request", [PLAIN, LENGTH], [TEXT]),
    "401": ("401 Unauthorized", [("WWW-Authenticate", 'Basic realm="a"'), ("WWW-Authenticate", "Bearer"), LENGTH], [TEXT]),
    "404": ("404 Not Found", [PLAIN, LENGTH], [TEXT]),
    "404-no-length": ("404 Not Found", [PLAIN], [TEXT]),
    "405": ("405 Method Not Allowed", [("Allow", "GET, HEAD"), LENGTH], [TEXT]),
    "413": ("413 Too Large", [PLAIN, LENGTH], [TEXT]),
    "416": ("416 Not Satisfiable", [("Content-Range", "bytes */100"), LENGTH], [TEXT]),
    "418": ("418 I'm a teapot", [PLAIN, LENGTH], [TEXT]),
    "429": ("429 Too Many Requests", [("Retry-After", "5"), LENGTH], [TEXT]),
    "500": ("500 Internal Server Error", [PLAIN, LENGTH], [TEXT]),
    "502": ("502 Bad Gateway", [PLAIN, LENGTH], [TEXT]),
    "503": ("503 Service Unavailable", [("Retry-After", DATE), LENGTH], [TEXT]),
    "504": ("504 Gateway Timeout", [PLAIN, LENGTH], [TEXT]),
    "reason": ("200 Quite Fine, Thank You", [PLAIN, LENGTH], [TEXT]),
    "reason-odd": ("299 (~!@#$%^&*)", [PLAIN, LENGTH], [TEXT]),
    "reason-latin": ("200 caf\xe9", [PLAIN, LENGTH], [TEXT]),
    "status-299": ("299 Odd", [PLAIN, LENGTH], [TEXT]),
    "status-499": ("499 Odd", [PLAIN, LENGTH], [TEXT]),
    "status-599": ("599 Odd", [PLAIN, LENGTH], [TEXT]),
    "cookies": ("200 OK", [("Set-Cookie", "a=1; Path=/"), ("Set-Cookie", "b=2"), ("set-cookie", "a=3"), LENGTH], [TEXT]),
    "vary": ("200 OK", [("Vary", "Cookie"), ("Vary", "Accept-Language"), ("Vary", "Cookie"), LENGTH], [TEXT]),
    "links": ("200 OK", [("Link", "</a>; rel=preload"), ("Link", "</b>; rel=next"), LENGTH], [TEXT]),
    "validators": ("200 OK", [("ETag", '"app"'), ("Last-Modified", DATE), ("Accept-Ranges", "bytes"), LENGTH], [TEXT]),
    "caching": (
        "200 OK",
        [("Cache-Control", "no-cache"), ("Expires", DATE), ("Pragma", "no-cache"), ("Age", "5"), LENGTH],
        [TEXT],
    ),
    "encoded": (
        "200 OK",
        [("Content-Encoding", "gzip"), ("Content-Language", "de"), ("Content-Location", "/a"), LENGTH],
        [TEXT],
    ),
    "date": ("200 OK", [("Date", DATE), LENGTH], [TEXT]),
    "server": ("200 OK", [("Server", "mine/1"), ("X-Powered-By", "me"), ("Via", "1.1 me"), LENGTH], [TEXT]),
    "security": (
        "200 OK",
        [
            ("Strict-Transport-Security", "max-age=1"),
            ("Content-Security-Policy", "default-src 'self'"),
            ("X-Frame-Options", "DENY"),
            ("Access-Control-Allow-Origin", "*"),
            ("Alt-Svc", 'h3=":443"'),
            LENGTH,
        ],
        [TEXT],
    ),
    "names": (
        "200 OK",
        [("x-lower", "1"), ("X-UPPER", "2"), ("X-mIxEd", "3"), ("X_Under", "4"), ("X!#$%&'*+.^`|~", "5"), LENGTH],
        [TEXT],
    ),
    "values": ("200 OK", [("X-Latin", "caf\xe9"), ("X-Empty", ""), ("X-Tab", "a\tb"), ("X-Inside", "a  b"), LENGTH], [TEXT]),
    "blanks": ("200 OK", [("X-Blank", "  a "), ("X-Blank-Tab", "\ta\t"), LENGTH], [TEXT]),
    "repeated": ("200 OK", [("X-Two", "1"), ("X-Other", "a"), ("x-two", "2"), ("X-Two", "1"), LENGTH], [TEXT]),
    "many-fields": ("200 OK", [("X-%d" % number, "a") for number in range(70)] + [LENGTH], [TEXT]),
    "long-field": ("200 OK", [("X-Long", "a" * 2000), LENGTH], [TEXT]),
    "longer-field": ("200 OK", [("X-Long", "a" * 20_000), LENGTH], [TEXT]),
    "accel": ("200 OK", [("X-Accel-Buffering", "no"), ("X-Accel-Expires", "5"), LENGTH], [TEXT]),
    "pad": ("200 OK", [("X-Pad", "avoid browser bug"), LENGTH], [TEXT]),
    # What an application may not say.
    "too-short": ("200 OK", [PLAIN, ("Content-Length", "100")], [TEXT]),
    "too-long": ("200 OK", [PLAIN, ("Content-Length", "4")], [TEXT]),
    "length-letters": ("200 OK", [PLAIN, ("Content-Length", "abc")], [TEXT]),
    "length-negative": ("200 OK", [PLAIN, ("Content-Length", "-1")], [TEXT]),
    "length-twice": ("200 OK", [PLAIN, LENGTH, LENGTH], [TEXT]),
    "length-twice-differently": ("200 OK", [PLAIN, LENGTH, ("Content-Length", "5")], [TEXT]),
    "length-blanks": ("200 OK", [PLAIN, ("Content-Length", " 19 ")], [TEXT]),
    "chunked": ("200 OK", [PLAIN, ("Transfer-Encoding", "chunked")], [TEXT]),
    "connection": ("200 OK", [PLAIN, LENGTH, ("Connection", "close")], [TEXT]),
    "connection-kept": ("200 OK", [PLAIN, LENGTH, ("Connection", "keep-alive"), ("Keep-Alive", "timeout=5")], [TEXT]),
    "connection-named": ("200 OK", [PLAIN, LENGTH, ("Connection", "X-Mine"), ("X-Mine", "1")], [TEXT]),
    "upgrade": ("200 OK", [PLAIN, LENGTH, ("Upgrade", "h2c")], [TEXT]),
    "426": ("426 Upgrade Required", [("Upgrade", "websocket"), ("Connection", "Upgrade"), LENGTH], [TEXT]),
    "trailer": ("200 OK", [PLAIN, LENGTH, ("Trailer", "X-Sum")], [TEXT]),
    "line-break": ("200 OK", [PLAIN, ("X-Bad", "a\r\nX-Injected: b"), LENGTH], [TEXT]),
    "line-feed": ("200 OK", [PLAIN, ("X-Bad", "a\nb"), LENGTH], [TEXT]),
    "zero-byte": ("200 OK", [PLAIN, ("X-Bad", "a\0b"), LENGTH], [TEXT]),
    "name-blank": ("200 OK", [PLAIN, ("X Bad", "a"), LENGTH], [TEXT]),
    "name-colon": ("200 OK", [PLAIN, ("X-Bad:", "a"), LENGTH], [TEXT]),
    "name-empty": ("200 OK", [PLAIN, ("", "a"), LENGTH], [TEXT]),
    "status-0": ("000 Zero", [PLAIN, LENGTH], [TEXT]),
    "status-99": ("099 Low", [PLAIN, LENGTH], [TEXT]),
    "status-101": ("101 Switching Protocols", [PLAIN, LENGTH], [TEXT]),
    "status-600": ("600 High", [PLAIN, LENGTH], [TEXT]),
    "status-999": ("999 Highest", [PLAIN, LENGTH], [TEXT]),
}

#: What only WSGI can say.
WSGI_ANSWERS = {
    "reason-none": ("200", [PLAIN, LENGTH], [TEXT]),
    "reason-blank": ("200 ", [PLAIN, LENGTH], [TEXT]),
    "reason-long": ("200 " + "long " * 60 + "end", [PLAIN, LENGTH], [TEXT]),
    "reason-line-break": ("200 OK\r\nX-Injected: a", [PLAIN, LENGTH], [TEXT]),
    "status-letters": ("abc OK", [PLAIN, LENGTH], [TEXT]),
}

#: Names of answers that go wrong on the way.
FAILURES = ["raises", "raises-after-start", "raises-after-first-piece", "raises-in-the-middle", "starts-twice"]


#: After it what was written is on its way to the client.
MOMENT_S = 0.05


class Wrong(Exception):
    """Raised on purpose."""


def pieces_before_failure(name):
    """What a failing answer sends after it has started, before it raises."""
    return {"raises-after-start": [], "raises-after-first-piece": [TEXT], "raises-in-the-middle": [TEXT, TEXT]}.get(name)


def echo(told):
    text = repr(told).encode()
    return [("Content-Type", "text/x-echo"), ("Content-Length", str(len(text))), ("X-App", "echo")], text


def wsgi(environ, start_response):
    path = environ["PATH_INFO"]
    # `wsgi.input` is read as frameworks do, up to its end.
    body = environ["wsgi.input"].read()
    if path.startswith("/answer/"):
        name = path[len("/answer/") :]
        if name in ANSWERS or name in WSGI_ANSWERS:
            status, fields, pieces = ANSWERS.get(name) or WSGI_ANSWERS[name]
            start_response(status, fields + [("X-App", "answer")])
            return iter(pieces) if len(pieces) > 1 else pieces
        if name in WAYS:
            return WAYS[name](environ, start_response)
        if name in FAILURES:
            return failing(name, start_response)
    told = {key: value for key, value in environ.items() if key.startswith("HTTP_")}
    for key in (
        "REQUEST_METHOD",
        "SCRIPT_NAME",
        "PATH_INFO",
        "QUERY_STRING",
        "CONTENT_TYPE",
        "CONTENT_LENGTH",
        "wsgi.url_scheme",
    ):
        told[key] = environ.get(key)
    told["body"] = body if len(body) < 1000 else hashlib.sha256(body).hexdigest()
    fields, text = echo(told)
    start_response("200 OK", fields)
    return [text]


def written(_environ, start_response):
    write = start_response("200 OK", [PLAIN, ("X-App", "answer")])
    write(TEXT)
    write(TEXT)
    return [TEXT]


def replaced(_environ, start_response):
    start_response("200 OK", [PLAIN, ("X-First", "a")])
    try:
        raise Wrong
    except Wrong:
        start_response("503 Later", [PLAIN, LENGTH, ("X-App", "answer")], sys.exc_info())
    return [TEXT]


def started_late(_environ, start_response):
    start_response("200 OK", [PLAIN, ("X-App", "answer")])
    yield TEXT


def file(*fields, at=0, content=None):
    """The way of a file, from some place on."""

    def answer(environ, start_response):
        opened = io.BytesIO(content) if content else open(__file__, "rb")
        opened.seek(at)
        start_response("200 OK", [PLAIN, ("X-App", "answer"), *fields])
        return environ["wsgi.file_wrapper"](opened)

    return answer


#: Ways to answer that only WSGI has.
WAYS = {
    "write": written,
    "replaced": replaced,
    "started-late": started_late,
    "file": file(),
    "file-with-length": file(("Content-Length", str(os.path.getsize(__file__)))),
    "file-with-short-length": file(("Content-Length", "100")),
    "file-with-long-length": file(("Content-Length", "1000000")),
    "file-from-its-middle": file(at=1000),
    "file-from-its-end": file(at=10_000_000),
    "file-like": file(content=TEXT * 1000),
}


def failing(name, start_response):
    if name == "raises":
        raise Wrong(name)
    start_response("200 OK", [PLAIN, ("X-App", "answer")])
    if name == "starts-twice":
        start_response("200 OK", [PLAIN, ("X-App", "answer")])
        return [TEXT]
    return failing_pieces(name)


def failing_pieces(name):
    for piece in pieces_before_failure(name):
        yield piece
        time.sleep(MOMENT_S)
    raise Wrong(name)


async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message.get("body", b"")
        more = message.get("more_body", False)
    path = scope["path"]
    name = path[len("/answer/") :] if path.startswith("/answer/") else None
    if name in ANSWERS:
        status, fields, pieces = ANSWERS[name]
        await start(send, int(status[:3]), fields + [("X-App", "answer")])
        for piece in pieces[:-1]:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": pieces[-1] if pieces else b""})
        return
    if name == "silent":
        return
    if name in FAILURES:
        if name == "raises":
            raise Wrong(name)
        await start(send, 200, [PLAIN, ("X-App", "answer")])
        if name == "starts-twice":
            await start(send, 200, [PLAIN, ("X-App", "answer")])
        for piece in pieces_before_failure(name):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            await asyncio.sleep(MOMENT_S)
        raise Wrong(name)
    told = {"method": scope["method"], "path": scope["path"], "query": scope["query_string"], "scheme": scope["scheme"]}
    for field, value in scope["headers"]:
        told.setdefault("field " + field.decode("latin-1"), []).append(value.decode("latin-1"))
    told["body"] = body if len(body) < 1000 else hashlib.sha256(body).hexdigest()
    fields, text = echo(told)
    await start(send, 200, fields)
    await send({"type": "http.response.body", "body": text})


async def start(send, status, fields):
    # Names in lower case, as ASGI wants them.
    pairs = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in fields]
    await send({"type": "http.response.start", "status": status, "headers": pairs})


def told(body):
    """What an echo says, as a dict."""
    return ast.literal_eval(body.decode())
