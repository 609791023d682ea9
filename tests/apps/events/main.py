"""Server-sent events and long polling: every event tells when it was made."""

import asyncio
import time

waiting = []
gate = None


async def app(scope, receive, send):
    global gate
    if scope["type"] != "http":
        raise RuntimeError("only HTTP here")
    gate = gate or asyncio.Event()
    path = scope["path"]
    if path == "/events":
        await begin(send, b"text/event-stream")
        for _ in range(int(scope["query_string"])):
            await event(send)
            await asyncio.sleep(0.02)
        await send({"type": "http.response.body"})
    elif path == "/poll":
        # Held until something happens.
        happened = asyncio.get_running_loop().create_future()
        waiting.append(happened)
        text = await happened
        await begin(send, b"text/plain")
        await send({"type": "http.response.body", "body": text})
    elif path == "/happen":
        told = len(waiting)
        while waiting:
            waiting.pop().set_result(stamp())
        await begin(send, b"text/plain")
        await send({"type": "http.response.body", "body": b"%d" % told})
    elif path == "/hold":
        # One event at once, one when everybody is told, and the end.
        await begin(send, b"text/event-stream")
        await event(send)
        await gate.wait()
        await event(send)
        await send({"type": "http.response.body"})
    elif path == "/tell":
        gate.set()
        await begin(send, b"text/plain")
        await send({"type": "http.response.body", "body": b"told"})


def stamp():
    return b"%d" % time.time_ns()


async def begin(send, kind):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})


async def event(send):
    await send({"type": "http.response.body", "body": b"data: " + stamp() + b"\n\n", "more_body": True})
