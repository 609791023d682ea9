import atexit, base64, hashlib, io, os, sys, tempfile, threading, time

CLOSED = []


def application(environ, start_response):
    return globals()["at_" + environ["PATH_INFO"].strip("/")](environ, start_response)


def text(start_response, body, *headers):
    start_response("200 OK", [("Content-Type", "text/plain"), *headers])
    return [body.encode() if isinstance(body, str) else body]


def at_hello(environ, start_response):
    return text(start_response, "hello")


def at_environ(environ, start_response):
    lines = ["%s=%r" % item for item in sorted(environ.items()) if isinstance(item[1], (str, bool, tuple))]
    return text(start_response, "\n".join(lines))


def handshake(environ):
    key = environ["HTTP_SEC_WEBSOCKET_KEY"].encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accept = base64.b64encode(hashlib.sha1(key).digest())
    return b"HTTP/1.1 101 Fine\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n" % accept


def at_socket(environ, start_response):
    client = environ["gunicorn.socket"]
    client.sendall(handshake(environ))
    while True:
        said = client.recv(100)
        if not said:
            raise {"": StopIteration, "reset": ConnectionResetError, "fault": ValueError}[environ["QUERY_STRING"]]()
        # More than a socket takes at once, in one call of `send`.
        client.send(said * 100000)


def at_late(environ, start_response):
    environ["gunicorn.socket"].send(handshake(environ))
    return []


def at_stop(environ, start_response):
    raise StopIteration


def at_length(environ, start_response):
    return text(start_response, str(len(environ["wsgi.input"].read())))


KEPT = []


def at_keep(environ, start_response):
    KEPT.append(environ["wsgi.input"])
    return text(start_response, "kept")


def at_read_kept(environ, start_response):
    return text(start_response, KEPT.pop().read())


def at_fork(environ, start_response):
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    return text(start_response, environ["wsgi.input"].read())


def at_fork_counts_maps(environ, start_response):
    child = os.fork()
    if not child:
        with open("/proc/self/maps") as maps:
            os._exit(sum("memfd:body" in line for line in maps))
    counted = os.waitpid(child, 0)[1] >> 8
    return text(start_response, "%d %d" % (counted, len(environ["wsgi.input"].read())))


def at_read_and_keep(environ, start_response):
    KEPT.append(environ["wsgi.input"])
    return text(start_response, KEPT[-1].readline() + b"|" + KEPT[-1].read())


def at_odd(environ, start_response):
    """The lengths of what was read, and all of it."""
    body = environ["wsgi.input"]
    parts = [body.read(3), body.readline(), body.read(70001), body.readline(5), body.read(0), body.readline(200000)]
    parts += [*body.readlines(1000), next(body), body.read(65536), body.read(10)]
    parts += [*body, body.read(), body.readline()]
    return text(start_response, repr([len(part) for part in parts]).encode() + b"\n" + b"".join(parts))


def at_input(environ, start_response):
    body = environ["wsgi.input"]
    parts = [body.read(3), body.readline(), body.readline(2), body.readlines(1), list(body), body.read(), body.readline()]
    return text(start_response, repr(parts))


def at_stream(environ, start_response):
    start_response("200 OK", [])
    yield b"one"
    marker = environ["QUERY_STRING"]
    while marker and not os.path.exists(marker):
        time.sleep(0.005)
    yield b""
    yield b"two"


class Endless:
    def __init__(self, chunk):
        self.chunk = chunk

    def __iter__(self):
        return self

    def __next__(self):
        return self.chunk

    def close(self):
        CLOSED.append("endless")


def at_endless(environ, start_response):
    start_response("200 OK", [])
    return Endless(b"x" * 65536)


class SlowClose(list):
    def close(self):
        while not os.path.exists(self.marker):
            time.sleep(0.005)


def at_slow_close(environ, start_response):
    start_response("200 OK", [])
    answer = SlowClose([b"answer"])
    answer.marker = environ["QUERY_STRING"]
    return answer


def at_closed(environ, start_response):
    return text(start_response, ",".join(CLOSED))


def at_big(environ, start_response):
    return text(start_response, b"y" * 5_000_000)


def pattern(query):
    length, first = map(int, query.split(","))
    return (bytes((first + i) % 256 for i in range(251)) * (length // 251 + 1))[:length]


def at_pattern(environ, start_response):
    start_response("200 OK", [])
    return [pattern(environ["QUERY_STRING"])]


def at_pieces(environ, start_response):
    start_response("200 OK", [])
    for query in environ["QUERY_STRING"].split(";"):
        yield pattern(query)


def at_fork_large(environ, start_response):
    child = os.fork()
    if not child:
        # It comes back out of the application.
        start_response("200 OK", [])
        return [b"c" * (1 << 20)]
    os.waitpid(child, 0)
    return text(start_response, "parent")


def at_list(environ, start_response):
    start_response("200 OK", [])
    return [b"a", b"", b"b" * 100_000, b"c"] + [b"d"] * 1000


def at_raises(environ, start_response):
    raise ValueError("on purpose")


def at_raises_late(environ, start_response):
    start_response("200 OK", [])
    yield b"some"
    raise ValueError("on purpose, late")


def at_exits(environ, start_response):
    sys.exit(3)


def at_exc_info(environ, start_response):
    start_response("200 OK", [("X-First", "1")])
    try:
        raise KeyError("replaced")
    except KeyError:
        start_response("500 Oops", [("X-Second", "2")], sys.exc_info())
    return [b"replaced"]


def at_write(environ, start_response):
    write = start_response("200 OK", [])
    write(b"written ")
    return [b"returned"]


def at_twice(environ, start_response):
    start_response("200 OK", [])
    start_response("200 OK", [])
    return []


def at_no_head(environ, start_response):
    return [b"body"]


def at_text(environ, start_response):
    start_response("200 OK", [])
    return ["text"]


def at_split(environ, start_response):
    return text(start_response, "x", ("X-Bad", "a\r\nSet-Cookie: b"))


def at_huge(environ, start_response):
    return text(start_response, "x", *[("X-Huge", "h" * 60_000)] * 100)


def at_hop(environ, start_response):
    return text(start_response, "x", ("Connection", "close"), ("X-Good", "caf\xe9"))


def at_short(environ, start_response):
    return text(start_response, "abc", ("Content-Length", "5"))


def at_long(environ, start_response):
    return text(start_response, "abcdef", ("Content-Length", "3"))


def at_hints(environ, start_response):
    hint = environ["wsgi.early_hints"]
    hint([("Link", "</a.css>; rel=preload")])
    hint(((name, value) for name, value in {b"link": b" </b.js>; rel=preload "}.items()))
    write = start_response("200 OK", [])
    hint([["X-Also", "before the first byte"]])
    write(b"hinted ")
    hint([("Link", "</late.css>")])
    KEPT.append(hint)
    return [b"twice"]


def at_hint_of_another(environ, start_response):
    KEPT.pop()([("Link", "</never.css>")])
    return text(start_response, "unhinted")


def at_bad_hint(environ, start_response):
    environ["wsgi.early_hints"]([("Link", "a\r\nX-Evil: b")])


def at_many_hints(environ, start_response):
    for number in range(100):
        environ["wsgi.early_hints"]([("Link", "<%s>" % ("x" * 1000))])
    return text(start_response, "enough")


def at_announced(environ, start_response):
    """Says that five bytes come, and sends none."""
    start_response("200 OK", [("Content-Length", "5")])
    return {
        "list": lambda: [],
        "empty": lambda: [b""],
        "several": lambda: [b"", b""],
        "generator": lambda: iter([b"", b""]),
        "file": lambda: environ["wsgi.file_wrapper"](tempfile.TemporaryFile()),
    }[environ["QUERY_STRING"]]()


def at_fields(environ, start_response):
    """All the ways to give fields that other servers take."""
    fields = [("X-Blank", " \ta b \t"), ["Content-Length", " 5 "], ("X-Empty", " ")]
    fields = {"list": list, "tuple": tuple, "iterator": iter, "items": dict}[environ["QUERY_STRING"]](fields)
    start_response("200 OK", fields.items() if isinstance(fields, dict) else fields)
    return [b"12345"]


def at_reason(environ, start_response):
    start_response("200 " + "r" * int(environ["QUERY_STRING"]), [])
    return [b"reason"]


def at_goes_on(environ, start_response):
    """Waits for a file behind the end of its answer."""
    start_response("200 OK", [("Content-Length", "6")])
    yield b"abc"
    yield b"def"
    while not os.path.exists(environ["QUERY_STRING"]):
        time.sleep(0.005)


def at_goes_beyond(environ, start_response):
    start_response("200 OK", [("Content-Length", "3")])
    return Endless(b"abc")


def at_made_up(environ, start_response):
    """A file whose length is known once it has been read."""
    start_response("200 OK", [])
    return environ["wsgi.file_wrapper"](open(environ["QUERY_STRING"], "rb"))


def at_file(environ, start_response):
    file = tempfile.TemporaryFile()
    file.write(b"0123456789")
    file.seek(4)
    start_response("200 OK", [])
    return environ["wsgi.file_wrapper"](file)


def at_filelike(environ, start_response):
    start_response("200 OK", [])
    return environ["wsgi.file_wrapper"](io.BytesIO(b"abcdefg"), 3)


def at_nothing(environ, start_response):
    start_response("204 No Content", [])
    return [b"not sent"]


def at_print(environ, start_response):
    print("printed")
    print("part", end="")
    environ["wsgi.errors"].write("error line\nopen end")
    sys.stdout.buffer.write(memoryview(b" and bytes\n"))
    print("z" * 5000)
    os.write(2, b"raw\n")
    return text(start_response, "ok")


def at_wait(environ, start_response):
    while not os.path.exists(environ["QUERY_STRING"]):
        time.sleep(0.005)
    return text(start_response, threading.current_thread().name)


def at_spin(environ, start_response):
    while True:
        pass


def at_pid(environ, start_response):
    return text(start_response, "%d %d" % (os.getpid(), IMPORTED_IN))


IMPORTED_IN = os.getpid()
atexit.register(lambda: print("farewell"))
