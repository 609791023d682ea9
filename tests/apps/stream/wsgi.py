"""Answers in three parts, and does not say how long they are together."""


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    for part in (b"one\n", b"two\n", b"three\n"):
        yield part
