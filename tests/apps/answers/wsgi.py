"""All the ways to answer, well and badly; the path chooses."""

import os
import sys
import tempfile
import time

GATE = os.environ["GATE"]
PLAIN = [("Content-Type", "text/plain")]


def at(name):
    return os.path.join(GATE, name)


class Parts:
    """Yields its parts, waits for a file before a part that is a name, and leaves a file when it is closed."""

    def __init__(self, name, parts):
        self.name, self.parts = name, iter(parts)

    def __iter__(self):
        return self

    def __next__(self):
        part = next(self.parts)
        if isinstance(part, str):
            while not os.path.exists(at(part)):
                time.sleep(0.005)
            part = part.encode()
        if isinstance(part, Exception):
            raise part
        return part

    def close(self):
        with open(at("closed-" + self.name), "a") as closed:
            closed.write("closed\n")


def endless():
    while True:
        yield b"x" * 65536


def application(environ, start_response):
    how = environ["PATH_INFO"].strip("/")
    query = environ["QUERY_STRING"]
    if how == "write":
        write = start_response("200 OK", PLAIN)
        write(b"one ")
        write(b"two ")
        return [b"three"]
    if how == "replaced":
        start_response("200 OK", PLAIN + [("X-First", "yes")])
        try:
            raise ValueError("before the head was sent")
        except ValueError:
            start_response("503 Try Later", PLAIN, exc_info=sys.exc_info())
        return [b"replaced"]
    if how == "too-late":
        write = start_response("200 OK", PLAIN)
        write(b"sent ")
        try:
            raise ValueError("after the head was sent")
        except ValueError:
            start_response("503 Try Later", PLAIN, sys.exc_info())
        return [b"never"]
    if how == "twice":
        start_response("200 OK", PLAIN)
        start_response("200 OK", PLAIN)
        return [b"never"]
    if how == "stream":
        start_response("200 OK", PLAIN)
        return Parts(how, [b"first ", "open-second"])
    if how == "closed":
        start_response("200 OK", PLAIN)
        return Parts(query, [b"all"])
    if how == "raises-midway":
        start_response("200 OK", PLAIN)
        return Parts(how, [b"first ", RuntimeError("midway in the iterable")])
    if how == "endless":
        start_response("200 OK", PLAIN)
        return Parts(how, endless())
    if how == "silent":
        start_response("200 OK", PLAIN)
        return Parts(how, [b"first ", "never-there"])
    if how == "empty-parts":
        start_response("200 OK", PLAIN)
        return iter([b"", b"a", b"", b"b", b""])
    if how == "generator":
        def late():
            start_response("200 OK", PLAIN)
            yield b"late "
            yield b"start"
        return late()
    if how == "tuple":
        start_response("200 OK", PLAIN)
        return (b"a", b"tuple")
    if how == "bytes":
        start_response("200 OK", PLAIN)
        return b"letters"
    if how == "file":
        file = tempfile.TemporaryFile(dir=GATE)
        file.write(b"0123456789" * 100000)
        file.seek(10)
        start_response("200 OK", PLAIN)
        return environ["wsgi.file_wrapper"](file)
    if how == "file-part":
        file = tempfile.TemporaryFile(dir=GATE)
        file.write(b"0123456789")
        file.seek(2)
        start_response("200 OK", PLAIN + [("Content-Length", "3")])
        return environ["wsgi.file_wrapper"](file, 4)
    if how == "file-like":
        class Like:
            parts = [b"not ", b"a ", b"file", b""]

            def read(self, size):
                return self.parts.pop(0)

            def close(self):
                open(at("closed-file-like"), "w").close()
        Like.parts = list(Like.parts)
        start_response("200 OK", PLAIN)
        return environ["wsgi.file_wrapper"](Like(), 4)
    if how == "hints":
        environ["wsgi.early_hints"]([("Link", "</a.css>; rel=preload; as=style")])
        start_response("200 OK", PLAIN)
        return [b"hinted"]
    if how == "announced":
        start_response("200 OK", [("Content-Length", query)])
        return []
    if how == "length":
        start_response("200 OK", PLAIN + [("Content-Length", query)])
        return [b"12345"]
    if how == "status":
        start_response(query.replace("+", " "), PLAIN + [("X-Kept", "yes")])
        return [b"a body that may not be sent"]
    if how == "field":
        name, value = {
            "cr": ("X-Bad", "a\rSet-Cookie: b"),
            "lf": ("X-Bad", "a\nSet-Cookie: b"),
            "nul": ("X-Bad", "a\0b"),
            "name": ("X-Bad\r\nSet-Cookie", "b"),
            "colon": ("X:Bad", "b"),
            "wide": ("X-Bad", "\u0160"),
            "latin": ("X-Good", "caf\xe9"),
            "hop": ("Connection", "keep-alive"),
            "accel": ("X-Accel-Redirect", "/protected/a.pdf"),
            "sendfile": ("x-sendfile", "/srv/a.pdf"),
        }[query]
        start_response("200 OK", PLAIN + [(name, value)])
        return [b"sent"]
    if how == "reason":
        start_response("200 OK\r\nSet-Cookie: b", PLAIN)
        return [b"never"]
    if how == "cookies":
        start_response("200 OK", PLAIN + [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
        return [b"sent"]
    if how == "exit":
        sys.exit("leaving")
    if how == "interrupt":
        raise KeyboardInterrupt
    if how == "raise":
        secret = "the secret of the traceback"
        raise RuntimeError(secret)
    if how == "no-head":
        return [b"never"]
    if how == "none":
        start_response("200 OK", PLAIN)
        return None
    if how == "text":
        start_response("200 OK", PLAIN)
        return ["text"]
    start_response("200 OK", PLAIN)
    return [b"%d" % os.getpid()]
