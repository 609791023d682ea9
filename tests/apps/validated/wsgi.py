"""An application between wsgiref's validator, which raises on every breach of PEP 3333, and the server."""

from wsgiref.validate import validator


def echo(environ, start_response):
    length = int(environ.get("CONTENT_LENGTH") or 0)
    body = environ["wsgi.input"].read(length)
    environ["wsgi.errors"].write("validated %s\n" % environ["REQUEST_METHOD"])
    environ["wsgi.errors"].flush()
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/write":
        write(b"written ")
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [b"got ", body]


application = validator(echo)
