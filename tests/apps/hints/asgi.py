"""The same, as an ASGI application."""


async def application(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload; as=style"]})
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    cookies = [value for name, value in scope["headers"] if name == b"cookie"]
    await send({"type": "http.response.body", "body": b"|".join(cookies)})
