"""What every ASGI server under measurement runs: hello, waits, WebSocket echo, server-sent events."""

import asyncio

HEAD = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain"), (b"content-length", b"12")]}
BODY = {"type": "http.response.body", "body": b"hello world\n"}
STREAM = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]}


async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "bytes": message.get("bytes"), "text": message.get("text")})
    elif scope["path"] == "/events":
        await send(STREAM)
        gone = asyncio.ensure_future(receive())
        while not gone.done() or gone.result()["type"] != "http.disconnect":
            if gone.done():
                gone = asyncio.ensure_future(receive())
            await send({"type": "http.response.body", "body": b"data: an event\n\n", "more_body": True})
            await asyncio.sleep(0.05)
    else:
        pause = scope["path"].strip("/")
        if pause:
            await asyncio.sleep(int(pause) / 1000)
        await send(HEAD)
        await send(BODY)
