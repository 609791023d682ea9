"""A page and its WebSocket, for any ASGI server: sends back what it gets, and closes once there is a file `finish`."""

import os
import pathlib

GATE = pathlib.Path(os.environ["GATE"])


async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept", "subprotocol": scope["subprotocols"][0]})
        while (message := await receive())["type"] != "websocket.disconnect":
            await send({"type": "websocket.send", "text": message["text"]})
            if (GATE / "finish").exists():
                await send({"type": "websocket.close", "code": 4000, "reason": "finished"})
                break
    elif scope["type"] != "http":
        raise RuntimeError("no lifespan")
    elif scope["method"] == "POST":
        part = GATE / "part"
        part.write_bytes((await receive())["body"])
        part.rename(GATE / scope["path"].rpartition("/")[2])
        await answer(send, b"text/plain", b"thanks")
    else:
        await answer(send, b"text/html", pathlib.Path(__file__).with_name("page.html").read_bytes())


async def answer(send, kind, body):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
    await send({"type": "http.response.body", "body": body})
