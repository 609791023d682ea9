"""The server's side of the page: events numbered by the clock, so that none is lost to whoever says which was the last."""

import asyncio
import os
import pathlib
import time

GATE = pathlib.Path(os.environ["GATE"])
WORKER = str(os.getpid())


async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": WORKER})
        while (await receive())["type"] != "websocket.disconnect":
            pass
    elif scope["type"] != "http":
        raise RuntimeError("no lifespan")
    elif scope["path"] == "/":
        page = pathlib.Path(__file__).with_name("page.html").read_bytes()
        await answer(send, b"text/html", page)
    elif scope["path"] == "/events":
        await events(scope, send)
    elif scope["path"].startswith("/tell/"):
        body = b""
        more = True
        while more:
            message = await receive()
            body += message["body"]
            more = message["more_body"]
        part = GATE / "part"
        part.write_bytes(body)
        part.rename(GATE / scope["path"].rpartition("/")[2])
        await answer(send, b"text/plain", b"thanks")
    else:
        await send({"type": "http.response.start", "status": 404})
        await send({"type": "http.response.body", "body": b""})


async def events(scope, send):
    fields = {name: value for name, value in scope["headers"]}
    headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    last = int(fields.get(b"last-event-id", now()))
    await event(send, b"retry: 50\n\n")
    while True:
        while last < now():
            last += 1
            await event(send, b"id: %d\ndata: %s\n\n" % (last, WORKER.encode()))
        await asyncio.sleep(0.01)


def now():
    """The number of the newest event: there is one every 50 ms."""
    return int(time.time() * 20)


async def event(send, text):
    await send({"type": "http.response.body", "body": text, "more_body": True})


async def answer(send, kind, body):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
    await send({"type": "http.response.body", "body": body})
