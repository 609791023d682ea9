"""The same, as an ASGI application."""


async def application(scope, receive, send):
    assert scope["type"] == "http"
    if scope["path"].endswith("/late"):
        return await answers_before_it_reads(receive, send)
    if scope["path"].endswith("/breaks-off"):
        return await breaks_off(send)
    if scope["path"].endswith("/blanks"):
        headers = [(b"x-mine", b" a b\t"), (b"content-length", b" 5 ")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        return await send({"type": "http.response.body", "body": b"hello"})
    if scope["path"].endswith("/announced"):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
        return await send({"type": "http.response.body"})
    await send({"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload; as=style"]})
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    cookies = [value for name, value in scope["headers"] if name == b"cookie"]
    await send({"type": "http.response.body", "body": b"|".join(cookies)})


async def answers_before_it_reads(receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"first", "more_body": True})
    size, more = 0, True
    while more:
        event = await receive()
        assert event["type"] == "http.request", event
        size, more = size + len(event["body"]), event["more_body"]
    await send({"type": "http.response.body", "body": b" and %d bytes" % size})


async def breaks_off(send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    for part in [b"first ", b"second"]:
        await send({"type": "http.response.body", "body": part, "more_body": True})
    raise RuntimeError("in the middle")
