"""The same, as an ASGI application."""


async def application(scope, receive, send):
    assert scope["type"] == "http"
    body, more = b"", True
    while more:
        event = await receive()
        assert event["type"] == "http.request", event
        body, more = body + event["body"], event["more_body"]
    length = dict(scope["headers"]).get(b"content-length", b"none")
    headers = [(b"content-length", b"%d" % len(body)), (b"x-told", length)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
