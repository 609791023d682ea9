"""Hints at a style sheet where it can, then answers with the cookies that came; the path chooses other answers."""


def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path.endswith("/breaks-off"):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return breaks_off()
    if path.endswith("/blanks"):
        start_response("200 OK", [("X-Mine", " a b\t"), ("Content-Length", " 5 ")])
        return [b"hello"]
    if path.endswith("/announced"):
        start_response("200 OK", [("Content-Length", "5")])
        return []
    hints = environ.get("wsgi.early_hints")
    if hints:
        hints([("Link", "</a.css>; rel=preload; as=style")])
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ.get("HTTP_COOKIE", "").encode("latin-1")]


def breaks_off():
    yield b"first "
    yield b"second"
    raise RuntimeError("in the middle")
