"""Answers with all that it is told of a request, as a Python literal: under ASGI its scope, under WSGI its environ."""

PLAIN = (bytes, str, int, float, bool, type(None))


def plain(value):
    """As it is where a literal can say it, else its type."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(plain(inner) for inner in value)
    return value if type(value) in PLAIN else "<%s>" % type(value).__name__


async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    told = plain(scope)
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": repr(told)})
        await receive()
        return
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    told["body"] = body
    text = repr(told).encode()
    # The answer to HEAD has no body: a field has it instead.
    fields = [(b"content-length", b"%d" % len(text))] + ([(b"x-told", text)] if scope["method"] == "HEAD" else [])
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": text})


def wsgi(environ, start_response):
    told = {key: plain(value) for key, value in environ.items()}
    told["body"] = environ["wsgi.input"].read()
    text = repr(told).encode()
    fields = [("Content-Length", str(len(text)))] + ([("X-Told", text.decode())] if environ["REQUEST_METHOD"] == "HEAD" else [])
    start_response("200 OK", fields)
    return [text]
