"""Rooms, sessions and binary messages of python-socketio, as its documentation shows them, and engineio alone beside it."""

import hashlib
import os

import engineio
import socketio
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

sio = socketio.AsyncServer(async_mode="asgi", max_http_buffer_size=8 << 20)


@sio.event
async def connect(sid, environ, auth):
    if not auth or "name" not in auth:
        raise socketio.exceptions.ConnectionRefusedError("who are you?")
    await sio.save_session(sid, {"name": auth["name"]})
    await sio.emit("welcome", {"worker": os.getpid(), "path": environ["PATH_INFO"]}, to=sid)


@sio.event
async def enter(sid, room):
    await sio.enter_room(sid, room)
    return room in sio.rooms(sid)


@sio.event
async def say(sid, room, text):
    session = await sio.get_session(sid)
    await sio.emit("said", [session["name"], text], room=room, skip_sid=sid)


@sio.event
async def mirror(sid, data):
    return hashlib.sha256(data).hexdigest(), data


@sio.event
async def transport(sid):
    return sio.transport(sid)


home = Starlette(routes=[Route("/", lambda request: PlainTextResponse("home\n"))])
app = socketio.ASGIApp(sio, home)
# The same below a path: of all that ASGI tells, engineio looks at the whole path.
below = socketio.ASGIApp(sio, home, socketio_path="/below/socket.io")

eio = engineio.AsyncServer(async_mode="asgi")


@eio.on("message")
async def message(sid, data):
    await eio.send(sid, data)


engine = engineio.ASGIApp(eio)
