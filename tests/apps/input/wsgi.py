"""Reads the body in the way that the path names, and answers with what came, as repr."""

import zlib


def application(environ, start_response):
    body = environ["wsgi.input"]
    how = environ["PATH_INFO"]
    if how == "/sizes":
        got = [body.read(3), body.read(0), body.read(5), body.read(-1), body.read(7), body.read()]
    elif how == "/readline":
        got = [body.readline(), body.readline(2), body.readline(), body.readline(-1), body.readline(), body.readline()]
    elif how == "/readlines":
        got = body.readlines()
    elif how == "/hint":
        got = [body.readlines(4), body.read()]
    elif how == "/iterate":
        got = list(body)
    elif how == "/mixed":
        got = [body.readline(), body.read(2), next(iter(body)), body.readlines()]
    elif how == "/lines-checksum":
        checksum, lines = 1, 0
        for line in body:
            checksum = zlib.adler32(line, checksum)
            lines += 1
        got = [lines, checksum]
    else:
        whole = body.read()
        got = [len(whole), zlib.adler32(whole)]
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [("%s %r" % (environ.get("CONTENT_LENGTH"), got)).encode()]
