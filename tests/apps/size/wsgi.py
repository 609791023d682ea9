"""Answers with as many bytes as the query says, in pieces."""

PIECE = b"x" * 65536


def application(environ, start_response):
    size = int(environ["QUERY_STRING"] or 0)
    start_response("200 OK", [("Content-Length", str(size))])
    for _ in range(size // len(PIECE)):
        yield PIECE
    yield PIECE[: size % len(PIECE)]
