"""Pages, files and streams of Starlette below the middleware that sites put around them; of Starlette today and of 0.36."""

import asyncio
import hashlib
import os
import pathlib

from brotli_asgi import BrotliMiddleware
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import FileResponse, JSONResponse, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

HERE = pathlib.Path(__file__).parent
GATE = pathlib.Path(os.environ["GATE"])


class Timing(BaseHTTPMiddleware):
    """What everybody writes: a field on each answer."""

    async def dispatch(self, request, call_next):
        response = await call_next(request)
        response.headers["X-Seen"] = request.method
        return response


class Counting(BaseHTTPMiddleware):
    """One that reads the whole answer and makes another of it."""

    async def dispatch(self, request, call_next):
        response = await call_next(request)
        body = b"".join([part async for part in response.body_iterator])
        response.headers["X-Counted"] = str(len(body))
        response.body_iterator = self.again(body)
        return response

    async def again(self, body):
        yield body


async def page(request):
    return JSONResponse({"line %d" % number: "always the same" for number in range(200)})


async def file(request):
    return FileResponse(HERE / "static" / "lines.txt", filename="lines.txt")


async def stream(request):
    async def parts():
        yield b"first\n" * 200
        while not (GATE / request.query_params["until"]).exists():
            await asyncio.sleep(0.005)
        yield b"second\n" * 200

    return StreamingResponse(parts(), media_type="text/plain")


async def upload(request):
    async with request.form() as form:
        content = await form["file"].read()
        return JSONResponse({"size": len(content), "sha256": hashlib.sha256(content).hexdigest(), "note": form["note"]})


def site(*middleware):
    routes = [
        Route("/page", page),
        Route("/file", file),
        Route("/stream", stream),
        Route("/upload", upload, methods=["POST"]),
        Mount("/static", StaticFiles(directory=HERE / "static")),
    ]
    return Starlette(routes=routes, middleware=[Middleware(each) for each in middleware])


app = Starlette(
    routes=[
        Mount("/bare", site()),
        Mount("/gzip", site(GZipMiddleware)),
        Mount("/brotli", site(BrotliMiddleware)),
        Mount("/timing", site(Timing)),
        Mount("/counting", site(Counting)),
        Mount("/many", site(Timing, GZipMiddleware, Counting)),
    ]
)
