import asyncio
import contextvars
import json
import os
import sys

who = contextvars.ContextVar("who", default="nobody")
seen = {}


async def answer(send, body=b"", status=200, headers=(), **more):
    await send({"type": "http.response.start", "status": status, "headers": list(headers), **more})
    await send({"type": "http.response.body", "body": body})


def plain(value):
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


async def read(receive):
    body, pieces = b"", 0
    while True:
        event = await receive()
        assert event["type"] == "http.request", event
        body += event["body"]
        pieces += 1
        if not event["more_body"]:
            return body, pieces


async def hello(scope, receive, send):
    await answer(send, b"hello", headers=[(b"content-type", b"text/plain"), (b"content-length", b"5")])


async def scope(scope, receive, send):
    await answer(send, json.dumps(plain(scope)).encode())


async def echo(scope, receive, send):
    body, pieces = await read(receive)
    await answer(send, body, headers=[(b"x-pieces", str(pieces).encode())])


async def gated_echo(scope, receive, send):
    """Echoes, but looks at the body only once somebody has asked for /open."""
    await gate(scope, receive, send=lambda event: asyncio.sleep(0))
    await echo(scope, receive, send)


async def slow(scope, receive, send):
    await asyncio.sleep(0.05)
    task = asyncio.current_task()
    await asyncio.wait_for(asyncio.sleep(0), 1)
    await answer(send, type(task).__name__.encode())


async def gate(scope, receive, send):
    """Waits until somebody asks for /open."""
    event = seen.setdefault("gate", asyncio.Event())
    await event.wait()
    await answer(send, b"through")


async def open_gate(scope, receive, send):
    seen.setdefault("gate", asyncio.Event()).set()
    await answer(send, b"opened")


async def parts(scope, receive, send):
    await send({"type": "http.response.start", "status": 200})
    for part in (b"one", bytearray(b"two"), memoryview(b"three")):
        await send({"type": "http.response.body", "body": part, "more_body": True})
        await asyncio.sleep(0)
    await send({"type": "http.response.body"})


async def big(scope, receive, send):
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"b" * 1_000_000, "more_body": True})
    seen["big"] = "sent"
    await send({"type": "http.response.body", "body": b"e"})


async def state_of_big(scope, receive, send):
    await answer(send, seen.pop("big", "waits").encode())


async def endless(scope, receive, send):
    """Sends without end and never waits."""
    await send({"type": "http.response.start", "status": 200})
    try:
        while True:
            seen["endless"] = seen.get("endless", 0) + 1
            await send({"type": "http.response.body", "body": b"x" * 1000, "more_body": True})
    except OSError as error:
        print("endless:", type(error).__name__, flush=True)
        raise


async def endless_of_another_kind(scope, receive, send):
    """The same, and what ends it becomes an exception of a framework's."""
    try:
        await endless(scope, receive, send)
    except OSError:
        raise ValueError("the client is gone")


async def endless_of_nothing(scope, receive, send):
    """Sends nothing without end."""
    await send({"type": "http.response.start", "status": 200})
    try:
        while True:
            await send({"type": "http.response.body", "body": b"", "more_body": True})
    except OSError as error:
        print("endless:", type(error).__name__, flush=True)
        raise


async def endless_of_hints(scope, receive, send):
    """Sends early hints without end."""
    try:
        while True:
            await send({"type": "http.response.early_hint", "links": [b"</a.css>"]})
    except OSError as error:
        print("endless:", type(error).__name__, flush=True)
        raise


async def endless_whatever_is_raised(scope, receive, send):
    """Sends without end, and goes on when it is told that nobody is there."""
    await send({"type": "http.response.start", "status": 200})
    while True:
        try:
            await send({"type": "http.response.body", "body": b"x" * 1000, "more_body": True})
        except OSError:
            pass


async def endless_beyond_its_length(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"3")]})
    while True:
        await send({"type": "http.response.body", "body": b"123", "more_body": True})


async def endless_behind_its_end(scope, receive, send):
    await answer(send, b"done")
    while True:
        await send({"type": "http.response.body", "body": b"more"})


async def deaf(scope, receive, send):
    """Receives without end, whatever comes."""
    while True:
        await receive()


async def raises(scope, receive, send):
    raise ValueError("before the head")


async def raises_later(scope, receive, send):
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"begun", "more_body": True})
    raise ValueError("behind the head")


async def exits(scope, receive, send):
    sys.exit(3)


async def child_exits(scope, receive, send):
    async def child():
        sys.exit(4)

    seen["child"] = asyncio.ensure_future(child())
    await asyncio.sleep(0.01)
    await answer(send, b"alive")


async def silent(scope, receive, send):
    pass


async def unfinished(scope, receive, send):
    await send({"type": "http.response.start", "status": 200})


async def short(scope, receive, send):
    await answer(send, b"12", headers=[(b"content-length", b"5")])


async def long(scope, receive, send):
    await answer(send, b"1234567", headers=[(b"content-length", b"5")])


async def wrong(scope, receive, send):
    start = {"type": "http.response.start", "status": 200, "headers": []}
    body = {"type": "http.response.body", "body": b""}
    told = []
    for event in (
        body,
        {"type": "http.response.start", "status": 42},
        {**start, "headers": [("str", "str")]},
        {**start, "headers": [(b"x", b"a\r\nb: c")]},
        {**start, "headers": [(b"x", b"a\0b")]},
        {**start, "headers": [(b"x", b"a\x01b")]},
        {**start, "headers": [(b"x", b"a\x7f")]},
        {**start, "headers": [(b"a b", b"c")]},
        {**start, "headers": [(b"content-length", b"x")]},
        {"type": "websocket.accept"},
        {},
        b"no dict",
    ):
        try:
            await send(event)
        except RuntimeError as error:
            told.append(str(error))
    await send(start)
    for event in (start, {"type": "http.response.body", "body": "text"}):
        try:
            await send(event)
        except RuntimeError as error:
            told.append(str(error))
    await send({"type": "http.response.body", "body": "\n".join(told).encode()})
    await send(body)
    print("late and ignored")


async def disconnect(scope, receive, send):
    await read(receive)
    event = await receive()
    await answer(send, b"nobody reads this")
    print("received", event["type"])


async def disconnect_after(scope, receive, send):
    await answer(send, b"done")
    print("received", (await receive())["type"])


async def background(scope, receive, send):
    await answer(send, b"early")
    await asyncio.sleep(0.2)
    print("background ended")


async def tasks(scope, receive, send):
    """What applications do with the awaitables."""
    first = await asyncio.create_task(receive())
    second = asyncio.create_task(receive())
    done, pending = await asyncio.wait({second}, timeout=0.01)
    second.cancel()
    try:
        await second
    except asyncio.CancelledError:
        pass
    try:
        await asyncio.wait_for(receive(), 0.01)
    except asyncio.TimeoutError:
        await answer(send, f"{first['type']} {len(done)} {len(pending)}".encode())


async def asks_often(scope, receive, send):
    import gc

    def futures():
        gc.collect()
        return sum(isinstance(thing, asyncio.Future) for thing in gc.get_objects())

    await receive()
    before = futures()
    for _ in range(100):
        with_timeout = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        with_timeout.cancel()
        await asyncio.wait({with_timeout})
    await answer(send, str(futures() - before).encode())


async def prints(scope, receive, send):
    import logging

    print("from the view")
    await asyncio.sleep(0.02)
    print("after waiting")

    async def child():
        await asyncio.sleep(0.01)
        print("from a child")

    await asyncio.gather(child(), child())
    logging.getLogger("x").warning("logged")
    await asyncio.get_running_loop().run_in_executor(None, contextvars.copy_context().run, print, "from a thread")
    await answer(send)


async def contexts(scope, receive, send):
    before = who.get()
    who.set(scope["query_string"].decode())
    await asyncio.sleep(0.01)
    await answer(send, f"{before} {who.get()}".encode())


async def sleeps(scope, receive, send):
    async def deep():
        await asyncio.sleep(1000)

    await deep()


async def stubborn(scope, receive, send):
    try:
        await asyncio.sleep(1000)
    except asyncio.CancelledError:
        await asyncio.sleep(0.05)
        print("took its time")


async def blocks(scope, receive, send):
    import time

    print("blocking")
    while True:
        time.sleep(0.01)


async def speaks_then_blocks(scope, receive, send):
    import time

    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"first", "more_body": True})
    while True:
        time.sleep(0.01)


async def path(scope, receive, send):
    with open("sent.txt", "wb") as file:
        file.write(b"sent by path")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.pathsend", "path": os.path.abspath("sent.txt")})


async def zero(scope, receive, send):
    with open("zero.txt", "w+b") as file:
        file.write(b"0123456789")
        file.flush()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.zerocopysend", "file": file, "offset": 2, "count": 3, "more_body": True})
        await send({"type": "http.response.body", "body": b"!"})


async def announced(scope, receive, send):
    """Says that five bytes come, and sends none."""
    await answer(send, headers=[(b"content-length", b"5")])


async def made_up(scope, receive, send):
    """Files whose length is known once they have been read."""
    path = scope["query_string"].decode()
    await send({"type": "http.response.start", "status": 200})
    with open(path, "rb") as file:
        await send({"type": "http.response.zerocopysend", "file": file, "count": 3, "more_body": True})
    await send({"type": "http.response.pathsend", "path": path})


async def hints(scope, receive, send):
    await send({"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload", b"</b.js>; rel=preload"]})
    await answer(send, b"hinted")


async def trailers(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"trailer", b"x-sum")], "trailers": True})
    await send({"type": "http.response.body", "body": b"body"})
    await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"7")], "more_trailers": True})
    await send({"type": "http.response.trailers", "headers": [(b"x-more", b"8")]})


async def short_trailers(scope, receive, send):
    headers = [(b"content-length", b"7"), (b"trailer", b"x-sum")]
    await send({"type": "http.response.start", "status": 200, "headers": headers, "trailers": True})
    await send({"type": "http.response.body", "body": b"body"})
    await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"7")]})


async def nothing(scope, receive, send):
    await send({"type": "http.response.start", "status": int(scope["query_string"] or b"204"), "headers": []})
    await send({"type": "http.response.body", "body": b"not sent", "more_body": True})
    await send({"type": "http.response.body", "body": b"nor this"})


async def forks(scope, receive, send):
    pid = os.fork()
    if pid == 0:
        return
    seen["status"] = await asyncio.get_running_loop().run_in_executor(None, os.waitpid, pid, 0)
    await answer(send, str(seen["status"][1]).encode())


async def ws_echo(scope, receive, send):
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept", "subprotocol": scope["subprotocols"][-1], "headers": [(b"x-a", b"b")]})
    while True:
        event = await receive()
        if event["type"] == "websocket.disconnect":
            print("disconnected", event["code"], event["reason"])
            return
        if event.get("text") == "raise":
            raise ValueError("in a websocket")
        if event.get("text") == "close":
            await send({"type": "websocket.close", "code": 4001, "reason": "asked to"})
            print("then", await receive())
            try:
                await send({"type": "websocket.send", "text": "late"})
            except RuntimeError as error:
                print(error)
            return
        if event.get("text") == "return":
            return
        if event.get("text") == "big":
            await send({"type": "websocket.send", "bytes": b"b" * 1_000_000})
            continue
        await send({"type": "websocket.send", **{key: event[key] for key in ("bytes", "text") if key in event}})


async def ws_forgets(scope, receive, send):
    async def listen():
        await receive()
        print("listens", (await receive())["type"])

    seen["listens"] = asyncio.ensure_future(listen())
    await send({"type": "websocket.accept"})
    await asyncio.sleep(0.01)


async def ws_scope(scope, receive, send):
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": json.dumps(plain(scope))})
    await send({"type": "websocket.close"})


async def ws_refuse(scope, receive, send):
    await receive()
    await send({"type": "websocket.close"})
    print("then", (await receive())["type"])


async def ws_deny(scope, receive, send):
    await send({"type": "websocket.http.response.start", "status": 401, "headers": [(b"x-why", b"no ticket")]})
    await send({"type": "websocket.http.response.body", "body": b"show a "})
    await send({"type": "websocket.http.response.body", "body": b"ticket"})


async def ws_deny_whole(scope, receive, send):
    await send({"type": "websocket.http.response.start", "status": 401, "headers": [(b"x-why", b"no ticket")]})
    await send({"type": "websocket.http.response.body", "body": b"show a ", "more_body": True})
    await send({"type": "websocket.http.response.body", "body": b"ticket"})


async def ws_raise(scope, receive, send):
    raise ValueError("before the handshake")


async def ws_silent(scope, receive, send):
    pass


async def ws_push(scope, receive, send):
    await send({"type": "websocket.accept"})
    try:
        while True:
            await send({"type": "websocket.send", "text": "tick"})
            await asyncio.sleep(0.005)
    except OSError as error:
        print("push ended:", type(error).__base__.__name__)
        raise


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise AssertionError("knows nothing of lifespans")
    await globals()[scope["path"].strip("/").split("/")[-1]](scope, receive, send)
