"""The same, as an ASGI application; without a look at the body at one path."""


async def application(scope, receive, send):
    assert scope["type"] == "http"
    if scope["path"].endswith("/refused"):
        await send({"type": "http.response.start", "status": 409, "headers": [(b"content-length", b"0")]})
        return await send({"type": "http.response.body"})
    body, more = b"", True
    while more:
        event = await receive()
        assert event["type"] == "http.request", event
        body, more = body + event["body"], event["more_body"]
    length = dict(scope["headers"]).get(b"content-length", b"none")
    headers = [(b"content-length", b"%d" % len(body)), (b"x-told", length)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
