"""Sends the body of the request back, and says what length it was told."""


def application(environ, start_response):
    body = environ["wsgi.input"].read()
    length = environ.get("CONTENT_LENGTH", "none")
    start_response("200 OK", [("Content-Length", str(len(body))), ("X-Told", length)])
    return [body]
