"""Streaming, background work, uploads and WebSockets, as Starlette's documentation shows them."""

import asyncio
import hashlib
import os
import pathlib

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles

GATE = pathlib.Path(os.environ["GATE"])


async def file_named(name):
    while not (GATE / name).exists():
        await asyncio.sleep(0.005)


async def home(request):
    return PlainTextResponse("home\n")


async def who(request):
    return JSONResponse({"client": list(request.client), "url": str(request.url), "version": request.scope["http_version"]})


async def stream(request):
    async def parts():
        yield "first\n"
        await file_named("seen")
        yield "second\n"

    return StreamingResponse(parts(), media_type="text/plain")


async def endless(request):
    async def parts():
        while True:
            yield b"x" * 1000

    return StreamingResponse(parts(), media_type="text/plain")


async def tasks(request):
    return PlainTextResponse(str(len(asyncio.all_tasks())))


async def background(request):
    async def work():
        await file_named("answered")
        (GATE / "worked").write_text("done\n")

    return PlainTextResponse("accepted\n", 202, background=BackgroundTask(work))


async def upload(request):
    async with request.form() as form:
        file = form["file"]
        digest, size = hashlib.sha256(), 0
        while part := await file.read(1 << 16):
            digest.update(part)
            size += len(part)
        return JSONResponse({"name": file.filename, "size": size, "sha256": digest.hexdigest(), "note": form["note"]})


async def early(request):
    return PlainTextResponse("not wanted\n", 409)


async def count(request):
    size = 0
    async for part in request.stream():
        size += len(part)
        if size == len(part):
            (GATE / "first-part").write_text(str(size))
    return JSONResponse({"size": size})


async def own_file(request):
    return FileResponse(__file__, filename="main.py")


async def broken(request):
    raise RuntimeError("the endpoint is broken")


async def echo(websocket):
    await websocket.accept(subprotocol="echo" if "echo" in websocket.scope["subprotocols"] else None)
    async for text in websocket.iter_text():
        await websocket.send_text(f"you said {text}")


rooms = {}


async def chat(websocket):
    room = rooms.setdefault(websocket.path_params["room"], set())
    await websocket.accept()
    room.add(websocket)
    await websocket.send_text(f"{len(room)} here")
    try:
        async for text in websocket.iter_text():
            for member in room:
                await member.send_text(text)
    finally:
        room.discard(websocket)


app = Starlette(
    routes=[
        Route("/", home),
        Route("/who", who),
        Route("/stream", stream),
        Route("/endless", endless),
        Route("/tasks", tasks),
        Route("/background", background),
        Route("/upload", upload, methods=["POST"]),
        Route("/count", count, methods=["POST"]),
        Route("/early", early, methods=["POST"]),
        Route("/file", own_file),
        Route("/broken", broken),
        Mount("/static", StaticFiles(directory=os.path.dirname(__file__))),
        WebSocketRoute("/echo", echo),
        WebSocketRoute("/chat/{room}", chat),
    ]
)
